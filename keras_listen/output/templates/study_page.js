// Answers stay in the browser until the rater saves them as a file.
const kept = () => {
  const data = JSON.parse($("data-study").textContent);
  const inlined = $("data-sounds") && JSON.parse($("data-sounds").textContent);
  const memory = storage();
  // What is kept are places in an order, so a page with other orders begins anew.
  const place = `page/${data.study}/${data.plan}`;

  // Somebody new gets a random number and one of the orders; #3 behind the address asks for the third.
  const asked = Number(location.hash.slice(1));
  const wanted = Number.isInteger(asked) && asked > 0 ? (asked - 1) % data.orders.length : null;
  const anew = () => {
    const [number] = crypto.getRandomValues(new Uint32Array(1));
    const digits = crypto.getRandomValues(new Uint8Array(5));
    const rater = `p-${[...digits].map((d) => d.toString(16).padStart(2, "0")).join("")}`;
    return { rater, order: wanted ?? number % data.orders.length, headphones: "", answers: {} };
  };
  const stored = () => JSON.parse(memory.get(place) ?? "null");
  const isBegun = (kept) => kept && Object.keys(kept.answers).length > 0;
  const before = stored();
  const state = isBegun(before) || (before && [null, before.order].includes(wanted)) ? before : anew();
  // Another window may have kept answers since; the first ones stay.
  const takeIn = (there) => {
    if (there?.rater !== state.rater) return;
    Object.assign(state.answers, there.answers);
    state.headphones = there.headphones || state.headphones;
  };
  const keep = () => {
    const there = stored();
    // Two windows may be opened in two orders; the test is taken in the one that is begun first.
    if (isBegun(there) && there.rater !== state.rater) {
      throw new Error("The test goes on in another window of this browser. Close this one, or reload it to go on here.");
    }
    takeIn(there);
    memory.set(place, JSON.stringify(state));
  };
  // Kept at once, so that a second window is the same rater's.
  keep();

  const shown = data.orders[state.order].map(([mode, item, repeat], i) => ({
    position: i + 1,
    mode: data.modes[mode],
    repeat,
    sound: data.items[item].name,
    word: data.modes[mode] === "rating" ? data.items[item].word : null,
    done: String(i + 1) in state.answers,
  }));

  const cell = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = () => {
    takeIn(stored());
    const rows = shown.filter(({ position }) => position in state.answers).map((item) => ({
      study: data.study,
      rater: state.rater,
      name: item.sound,
      ...item,
      ...state.answers[item.position],
      headphones: state.headphones,
    }));
    const lines = [data.columns, ...rows.map((row) => data.columns.map((name) => row[name]))];
    return lines.map((line) => line.map(cell).join(",") + "\n").join("");
  };
  const save = (event) => {
    event.preventDefault();
    saveFile(`ratings-${data.study}-${state.rater}.csv`, csv());
  };

  $("save").addEventListener("click", save);
  $("save-now").addEventListener("click", save);
  $("save-now").hidden = !Object.keys(state.answers).length;
  if (!memory.lasts) say("This browser keeps nothing: do not close or reload the page before you have saved your ratings.");

  return {
    async session() {
      const { study, words, examples } = data;
      return { study, words, examples, rater: state.rater, headphones: state.headphones, presentations: shown };
    },
    async sound(name) {
      return inlined ? `data:audio/wav;base64,${inlined[name]}` : `sounds/${encodeURIComponent(name)}.wav`;
    },
    forget() {},
    async rate({ position }, answer) {
      const rated_at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      // First what others kept is taken in, or this window told that it may keep nothing.
      keep();
      state.answers[position] ??= { ...answer, rated_at };
      keep();
      for (const item of shown) item.done = item.position in state.answers;
      $("save-now").hidden = false;
    },
    async keepHeadphones(result) {
      keep();
      state.headphones = result;
      memory.set(place, JSON.stringify(state));
    },
    anew() {
      if (!confirm("The answers in this browser will be deleted. Have they been saved?")) return;
      memory.delete(place);
      location.reload();
    },
    finished() {
      $("save-now").hidden = true;
      $("copy").value = csv();
    },
  };
};

listeningTest(kept());
