"""The table of all ratios, from the results of the single peers (benches/results/*.json). Started by run.sh."""

import argparse
import json
import pathlib

from run import ACTIONS, RESULTS, RETAINED, SCHEMA, figures

HEAD = """# Beside the Python peers

Time of the peer over time here: median, and in brackets the smallest and the largest of all rounds, in which both sides took their turns
on the same cores with the same weights and inputs, after a check that both compute the same. Peak memory is that of the two processes,
libraries and weights included. "Retained": both sides keep the memory they freed, as the command `equi` does (`ops::retain_memory`).

Written by `benches/peers/run.sh all`, or by `benches/peers/run.sh summary` from what was measured before."""


def memory(row):
    return "-" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:,.0f}"


def rows(result):
    """Of a workload: every action beside every peer."""
    for what, sides in result["actions"].items():
        for peer, row in sides.items():
            retained = peer.endswith(RETAINED)
            ours = sides.get("equi" + RETAINED if retained else "equi")
            if peer.startswith("equi") or ours is None:
                continue
            ratio = {k: 1 / v for k, v in row["equi_to_this"].items()}
            seconds = [figures(1e3 * side["seconds"]["median"]) for side in (ours, row)]
            work = f"{result['workload']}: {ACTIONS[what]}" + (", retained" if retained else "")
            yield (f"| {work} | {peer.removesuffix(RETAINED)} | **{figures(ratio['median'])}** ({figures(ratio['max'])} ... "
                   f"{figures(ratio['min'])}) | {seconds[0]}, {seconds[1]} | {memory(ours)}, {memory(row)} |")


def section(name, report):
    machine = report["machine"]
    results = [result for result in report["results"] if result["actions"]]
    lines = ["", f"## {report['title']}", "",
             f"{report['date']}, {machine['processor']}, {report['threads']} threads on {machine['cores']} cores, f32, "
             f"{report['rounds']} rounds, commit {report['commit']}: `{report['command']}`, [all figures]({name}.md).", ""]
    lines += [f"- {result['workload']}: {result['shapes']}" for result in results]
    lines += ["", "| work | peer | ratio | ms here, there | peak MiB here, there |", "|---|---|---|---|---|"]
    return lines + [row for result in results for row in rows(result)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="the folder of the results")
    folder = parser.parse_known_args()[0].out  # The rest is for run.py.
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    for name in [name for name, report in reports.items() if report.get("schema") != SCHEMA]:
        print(f"{name}.json is of another version, and left out: measure it again")
        del reports[name]
    if not reports:
        raise SystemExit(f"{folder} has no results: measure some peer")
    lines = [HEAD] + [line for name, report in reports.items() for line in section(name, report)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")
    print(f"written: {folder / 'README.md'}")


if __name__ == "__main__":
    main()
