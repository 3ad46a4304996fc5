"use strict";
// The map: fills the figure with the points that the filters let through, and tells what is chosen.
(async () => {
  const element = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(element(id).textContent);
  const points = read("data-points");
  const number = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits));
  const word = (name, i) => points.words[points[name][i]];
  const speaker = (i) => points.speakers[points.speaker[i]];

  const view = await Bokeh.embed.embed_item(read("data-figure"), "map");
  const plot = view.roots?.[0]?.model ?? Bokeh.documents[0].roots()[0];
  const source = plot.renderers[0].data_source;
  let drawn = []; // rows of `points` in the order of the source
  const [, , , rings] = plot.renderers;

  const options = (select, names, used) => {
    const found = [...new Set(used)].sort((a, b) => a - b);
    for (const i of found) select.add(new Option(names[i], i));
  };
  options(element("filter-word"), points.words, points.word);
  options(element("filter-speaker"), points.speakers, points.speaker);

  const color = (group) => points.colors[group % points.colors.length];

  const legend = (by) => {
    const names = by === "speaker" ? points.speakers : points.words;
    const groups = [...new Set(drawn.map((i) => points[by][i]))].sort((a, b) => a - b);
    element("legend").replaceChildren(...groups.slice(0, 100).map((group) => {
      const item = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = color(group);
      item.append(dot, names[group]);
      return item;
    }));
  };

  const passes = () => {
    const ofWord = element("filter-word").value;
    const ofSpeaker = element("filter-speaker").value;
    const wrong = element("filter-misclassified").checked;
    return (i) =>
      (ofWord === "" || points.word[i] === Number(ofWord)) &&
      (ofSpeaker === "" || points.speaker[i] === Number(ofSpeaker)) &&
      (!wrong || points.misclassified[i] === 1);
  };

  const columns = (rows, by) => {
    const pick = (values) => rows.map((i) => values[i]);
    const places = (name) => Float64Array.from(rows, (i) => points[name][i] ?? NaN);
    return {
      id: pick(points.id), file: pick(points.file), probability: places("probability"),
      word: rows.map((i) => word("word", i)), speaker: rows.map(speaker),
      predicted: rows.map((i) => word("predicted", i)),
      predicted_after: rows.map((i) => word("predicted_after", i)),
      x_before: places("x_before"), y_before: places("y_before"),
      x_after: places("x_after"), y_after: places("y_after"),
      color: rows.map((i) => color(points[by][i])),
    };
  };

  const draw = () => {
    const before = drawn[source.selected.indices[0]];
    const pass = passes();
    const by = element("color-by").value;
    drawn = points.id.map((_, i) => i).filter(pass);
    source.selected.indices = [];
    rings.view.filter.indices = [];
    source.data = columns(drawn, by);
    rings.view.filter.indices = [...drawn.keys()].filter((place) => points.misclassified[drawn[place]]);
    if (drawn.includes(before)) source.selected.indices = [drawn.indexOf(before)];
    legend(by);
    element("drawn").textContent = `${drawn.length} of ${points.count}`;
    const ids = new Set(drawn.map((i) => points.id[i]));
    Tickets.filter((id) => ids.has(id));
  };

  const player = (i, when) => {
    const label = document.createElement("label");
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.preload = "none";
    audio.id = `sound-${when}`;
    audio.src = Tickets.address(`${points.id[i]}-${when}.wav`);
    label.append(when, audio);
    return label;
  };

  const line = (...parts) => {
    const paragraph = document.createElement("p");
    paragraph.append(...parts);
    return paragraph;
  };

  const strong = (text) => {
    const bold = document.createElement("b");
    bold.textContent = text;
    return bold;
  };

  const tell = (i) => {
    const heard = word("predicted", i);
    const lines = [
      line(strong(word("word", i)), ` by ${speaker(i)}, heard as `, strong(heard),
        ` (${number(points.probability_predicted[i])}; its word ${number(points.probability[i])})`),
      line(`Reconstructed: ${word("predicted_reconstruction", i)}. Maximized: `
        + `${word("predicted_after", i)} (${number(points.probability_after[i])}), `
        + (points.first_step[i] < 0 ? "never right on the way" : `right from step ${points.first_step[i]}`)
        + `, moved ${number(points.distance[i], 2)}. ${points.file[i]}`),
    ];
    if (points.sounds[i].length) {
      const players = document.createElement("div");
      players.className = "players";
      players.append(...points.sounds[i].map((when) => player(i, when)));
      lines.push(players);
    }
    if (points.ticket[i]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "open its ticket";
      button.addEventListener("click", () => Tickets.open(points.id[i]));
      lines.push(line(button));
    }
    element("chosen").replaceChildren(...lines);
  };

  // The utterance, as natural as it is there, and what maximization made of it.
  const play = () => {
    const players = element("chosen").querySelectorAll("audio");
    const first = players[0];
    if (!first) return;
    if (players.length > 1) {
      first.addEventListener("ended", () => players[players.length - 1].play(), { once: true });
    }
    // A browser may forbid sound until the page was clicked on; the players are there then.
    first.play().catch(() => {});
  };

  const act = (i) => {
    play();
    Tickets.open(points.id[i]);
  };

  let byKey = false;
  source.selected.properties.indices.change.connect(() => {
    const place = source.selected.indices[0];
    if (place === undefined || !drawn.length) return;
    // Points may lie on each other: the first is the nearest one.
    if (source.selected.indices.length > 1) { source.selected.indices = [place]; return; }
    tell(drawn[place]);
    if (!byKey) act(drawn[place]);
  });

  const choose = (place) => {
    byKey = true;
    if (drawn.length) source.selected.indices = [(place + drawn.length) % drawn.length];
    byKey = false;
  };

  const zoom = (factor) => {
    for (const range of [plot.x_range, plot.y_range]) {
      const middle = (range.start + range.end) / 2;
      const half = (factor * (range.end - range.start)) / 2;
      range.setv({ start: middle - half, end: middle + half });
    }
  };

  const whole = [plot.x_range, plot.y_range].map(({ start, end }) => ({ start, end }));
  const current = () => source.selected.indices[0];
  const keys = {
    ArrowRight: () => choose((current() ?? -1) + 1),
    ArrowLeft: () => choose((current() ?? 0) - 1),
    Enter: () => { if (current() !== undefined) act(drawn[current()]); },
    Escape: () => { source.selected.indices = []; },
    "+": () => zoom(1 / 1.4),
    "-": () => zoom(1.4),
    0: () => [plot.x_range, plot.y_range].forEach((range, i) => range.setv(whole[i])),
  };
  element("map").addEventListener("keydown", (event) => {
    if (event.target !== element("map") || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  for (const id of ["filter-word", "filter-speaker", "filter-misclassified", "color-by"]) {
    element(id).addEventListener("change", draw);
  }
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("show-after").addEventListener("change", ({ target }) => {
    for (const renderer of plot.renderers) {
      if (["after", "moves"].includes(renderer.name)) renderer.visible = target.checked;
    }
  });

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    for (const glyph of [rings.glyph, rings.nonselection_glyph]) {
      glyph.line_color = dark.matches ? "#ffffff" : "#000000";
    }
  };
  dark.addEventListener("change", paint);
  paint();
  draw();
})();
