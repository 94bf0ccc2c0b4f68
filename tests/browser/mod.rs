//! A browser without a window, spoken to over two pipes, in the DevTools protocol: JSON messages that end in a zero byte.
//!
//! It is the one that `EQUI_BROWSER` names, or the first of Chromium's names on the path.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take: a browser starts in a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser; none, with a word about it, where there is none and nobody said that there is one.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("EQUI_BROWSER") {
        let path = PathBuf::from(&named);
        let found = if path.components().count() > 1 { path.is_file().then_some(path) } else { on_path(&path) };
        return Some(
            found.unwrap_or_else(|| panic!("EQUI_BROWSER is {}, and there is no such program", named.display())),
        );
    }
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().find_map(|name| on_path(Path::new(name)));
    if found.is_none() {
        // Not `eprintln!`, which the test harness keeps to itself.
        let said = format!(
            "\nSKIPPED: the report was tried in no browser, for none of {} is on the path: `apt-get install chromium`, or name one with EQUI_BROWSER\n",
            names.join(", ")
        );
        std::io::stderr().write_all(said.as_bytes()).expect("standard error is open");
    }
    found
}

fn on_path(name: &Path) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A page of a browser without a window.
pub struct Page {
    browser: Child,
    pipe: ChildStdin,
    messages: Receiver<Value>,
    /// What the browser said that was no answer.
    events: Vec<Value>,
    session: Option<String>,
    asked: u64,
    folder: TempDir,
}

impl Page {
    /// An empty page.
    pub fn open(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = File::create(folder.path().join("log")).expect("a file in it");
        // The protocol has descriptors 3 and 4; a shell can set them without unsafe code.
        let mut browser = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        let pipe = browser.stdin.take().expect("it is piped");
        let mut output = BufReader::new(browser.stdout.take().expect("it is piped"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                let value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
                if value.is_err() || sender.send(value.expect("it was looked at")).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut page = Self { browser, pipe, messages, events: Vec::new(), session: None, asked: 0, folder };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = page.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = Some(attached["sessionId"].as_str().expect("a session").to_string());
        for domain in ["Runtime", "Log", "Page", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.size(1200, 900);
        page
    }

    pub fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// The next message, before the deadline.
    fn next(&mut self, waited_for: &str, deadline: Instant) -> Value {
        match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(reason) => {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let how = if reason == RecvTimeoutError::Timeout { "did not answer" } else { "closed" };
                panic!("the browser {how}; waited for {waited_for}; it said:\n{log}");
            }
        }
    }

    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        // A browser that is gone shows when its answer is waited for.
        let _ = self.pipe.write_all(format!("{message}\0").as_bytes()).and_then(|()| self.pipe.flush());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.next(method, deadline);
            if answer["id"] == json!(id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Opens a file and waits until it is loaded.
    pub fn show(&mut self, file: &Path) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        let url = format!("file://{}", file.display());
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{answer}");
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("the page", deadline);
            self.events.push(event);
        }
    }

    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn mouse(&mut self, kind: &str, [x, y]: [f64; 2]) {
        let held = u8::from(kind != "mouseReleased");
        self.call(
            "Input.dispatchMouseEvent",
            json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": held, "clickCount": 1 }),
        );
    }

    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The middle of an element, on the screen.
    pub fn middle(&mut self, element: &str) -> [f64; 2] {
        let found = self.evaluate(&format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        [0, 1].map(|k| found[k].as_f64().expect("a number"))
    }

    /// No errors, warnings or requests but that for the page.
    pub fn is_clean(&self, file: &Path) {
        for event in &self.events {
            let method = event["method"].as_str().unwrap_or_default();
            // The test reads the canvas again and again, and is told so; the page does not.
            let text = event["params"]["entry"]["text"].as_str().unwrap_or_default();
            if method == "Log.entryAdded" && text.starts_with("Canvas2D: Multiple readback operations") {
                continue;
            }
            assert!(
                !matches!(method, "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded"),
                "{event}"
            );
            if method == "Network.requestWillBeSent" {
                assert_eq!(event["params"]["request"]["url"], format!("file://{}", file.display()));
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
