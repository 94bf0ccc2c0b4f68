"use strict";
// Turns the samples of "Under rotation". All texts and numbers are ready in the block of JSON; this puts them in their places.
(() => {
  const { angles, samples } = JSON.parse(document.getElementById("turning-data").textContent);
  const blocks = [...document.querySelectorAll(".turned")];
  const controls = document.querySelector(".turning .controls");
  const slider = document.getElementById("turn");
  const output = controls.querySelector("output");
  const choices = [...controls.querySelectorAll("input[type=radio]")];

  // The first of the two pixels beside a coordinate, and the weight of the second; far outside is on the ring of zeros.
  const tap = (coordinate, size) => {
    const inside = Math.min(Math.max(coordinate, -1), size);
    const first = Math.min(Math.floor(inside), size - 1);
    return [first, inside - first];
  };

  // out(p) = image(R(-angle) p), bilinear and zero outside: the picture turns counter-clockwise about its middle.
  const drawImage = (canvas, { channels, height, width, outside, levels }, angle) => {
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    const [cx, cy] = [(width - 1) / 2, (height - 1) / 2];
    const level = (channel, row, column) =>
      row >= 0 && row < height && column >= 0 && column < width
        ? levels[(channel * height + row) * width + column]
        : outside;
    const context = canvas.getContext("2d");
    const turned = context.createImageData(width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [x, y] = [column - cx, cy - row];
        const [left, right] = tap(cos * x + sin * y + cx, width);
        const [top, bottom] = tap(cy - (cos * y - sin * x), height);
        const value = (_, channel) =>
          (1 - bottom) * ((1 - right) * level(channel, top, left) + right * level(channel, top, left + 1)) +
          bottom * ((1 - right) * level(channel, top + 1, left) + right * level(channel, top + 1, left + 1));
        // A single channel is grey.
        const [red, green = red, blue = red] = Array.from({ length: channels }, value);
        turned.data.set([red, green, blue, 255], 4 * (row * width + column));
      }
    }
    context.putImageData(turned, 0, 0);
  };

  const show = (element, visible) =>
    visible ? element.removeAttribute("visibility") : element.setAttribute("visibility", "hidden");

  const turnRow = (row, answers, step, place) => {
    row.querySelector(".says").textContent = answers.says[step];
    if (answers.right) {
      const verdict = row.querySelector(".judged");
      verdict.textContent = answers.right[step] ? "right" : "wrong";
      verdict.className = `judged ${verdict.textContent}`;
      row.querySelector(".bar i").style.width = `${100 * answers.share[step]}%`;
    }
    const marker = row.querySelector(".now");
    const line = marker.ownerSVGElement.viewBox.baseVal;
    const height = answers.heights[step];
    show(marker, height !== null);
    marker.setAttribute("transform", `translate(${line.width * place} 0)`);
    marker.querySelector("circle").setAttribute("cy", height ?? 0);
  };

  // The shafts of vectors, from their points to the tips that are seen.
  const shafts = (roots, tips) => {
    let path = "";
    for (let at = 0; at < roots.length; at += 2) {
      if (tips[at] !== null && tips[at + 1] !== null) {
        path += `M${roots[at]} ${roots[at + 1]}L${tips[at]} ${tips[at + 1]}`;
      }
    }
    return path;
  };

  const turnPoints = (block, { arms, roots }, step) => {
    block.querySelector(".truth").setAttribute("transform", `rotate(${-angles[step]})`);
    block.querySelectorAll(".said").forEach((said) => {
      const points = arms[said.dataset.arm].points[step];
      if (roots) {
        said.querySelector("path").setAttribute("d", shafts(roots[step], points));
      }
      said.querySelectorAll("polygon").forEach((shape, point) => {
        const [x, y] = points.slice(2 * point, 2 * point + 2);
        show(shape, x !== null && y !== null);
        shape.setAttribute("transform", `translate(${x ?? 0} ${y ?? 0})`);
      });
    });
  };

  const update = () => {
    const chosen = choices.findIndex((choice) => choice.checked);
    // At 360 degrees a sample is where it was at 0.
    const place = slider.value / 360;
    const step = Math.round(place * angles.length) % angles.length;
    blocks.forEach((block, sample) => (block.hidden = sample !== chosen));
    const [block, sample] = [blocks[chosen], samples[chosen]];
    if (sample.image) {
      drawImage(block.querySelector("canvas"), sample.image, (angles[step] * Math.PI) / 180);
    } else {
      turnPoints(block, sample, step);
    }
    block.querySelectorAll("li[data-arm]").forEach((row) => turnRow(row, sample.arms[row.dataset.arm], step, place));
    block.querySelector(".angle").textContent = `${angles[step]}°`;
    slider.setAttribute("aria-valuetext", `${slider.value} degrees`);
    output.textContent = sample.readings[step];
  };

  blocks.forEach((block, sample) => {
    const still = block.querySelector(".still");
    if (still) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [samples[sample].image.width, samples[sample].image.height];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", still.getAttribute("aria-label"));
      still.replaceWith(canvas);
    }
  });
  controls.hidden = false;
  slider.addEventListener("input", update);
  choices.forEach((choice) => choice.addEventListener("change", update));
  update();
})();
