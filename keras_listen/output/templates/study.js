"use strict";
// The listening test. `backend` keeps what was answered, on a server or in the browser:
//   session()            -> { study, rater, headphones, words, examples, presentations }
//   sound(name)          -> address of a recording, for an audio element
//   forget(name)         the recording is not needed any more
//   rate(shown, answer)  resolves when the answer is kept
//   keepHeadphones(text) resolves when the result is kept
//   finished()           all is answered
//   anew()               give this place up and become another rater; where that is possible
// `say(text)` tells the rater something; an empty text takes it away again.
const $ = (id) => document.getElementById(id);

const say = (text) => {
  $("message").textContent = text;
  $("message").hidden = !text;
};

const listeningTest = async (backend) => {
  const player = $("player");
  const screens = [...document.querySelectorAll("main > section")];
  let session, place, heard, plays, since, busy = false;
  const durations = [];

  const show = (name) => {
    for (const screen of screens) screen.hidden = screen.id !== name;
    $(name).querySelector("[tabindex]").focus();
    scrollTo(0, 0);
  };
  const isShown = (name) => !$(name).hidden;
  const setMode = (modes) => {
    for (const element of document.querySelectorAll("[data-for]")) {
      element.hidden = !modes.includes(element.dataset.for);
    }
  };

  // --- the first screen -------------------------------------------------------------------------
  const start = () => {
    const all = session.presentations;
    const done = all.filter((shown) => shown.done).length;
    place = all.findIndex((shown) => !shown.done);
    if (place < 0) return finish();
    setMode(all.map((shown) => shown.mode));
    $("greeting").textContent = done ? "Welcome back" : "Welcome";
    $("count").textContent = all.length;
    $("duration").textContent = `That takes about ${minutes(all.length * 7)}, with as many breaks as you like.`;
    $("begin").textContent = done ? `Continue (${done} of ${all.length} done)` : "Begin";
    $("stranger").hidden = !done || !backend.anew;
    tellHeadphones();
    show("start");
  };

  const minutes = (seconds) => {
    const count = Math.max(1, Math.round(seconds / 60));
    return count === 1 ? "a minute" : `${count} minutes`;
  };

  const addExamples = async () => {
    const isRated = session.presentations.some((shown) => shown.mode === "rating");
    for (const { sound, word, clear } of session.examples) {
      const label = document.createElement("label");
      const audio = document.createElement("audio");
      audio.controls = true;
      const text = document.createElement("span");
      text.textContent = clear ? `“${word}”, completely clear` : "Completely unclear";
      if (isRated) text.textContent = `“${word}”, completely ${clear ? "clear: 5" : "unclear: 1"}`;
      audio.setAttribute("aria-label", text.textContent);
      label.append(text, audio);
      $("examples").querySelector(".examples").append(label);
      audio.src = await backend.sound(sound);
    }
    $("examples").hidden = !session.examples.length;
  };

  // --- headphones -------------------------------------------------------------------------------
  const headphones = headphonesCheck({
    isShown: () => isShown("headphones"),
    end: (result) => endHeadphones(result),
  });

  const checkHeadphones = () => {
    show("headphones");
    headphones.begin();
  };

  const endHeadphones = async (result) => {
    await backend.keepHeadphones(result).catch((error) => say(error.message));
    session.headphones = result;
    start();
  };

  const tellHeadphones = () => {
    const [word, count] = session.headphones.split(" ");
    $("headphones-result").textContent = {
      passed: `Passed (${count}).`,
      failed: `Only ${count} right: this sounds like loudspeakers. Put headphones on and check again, or go on as it is.`,
      skipped: "Skipped; that is noted.",
    }[word] ?? "";
  };

  // --- one recording ----------------------------------------------------------------------------
  const current = () => session.presentations[place];
  const isRating = () => current().mode === "rating";
  const answers = () => (isRating() ? $("scale") : $("choices"));

  const begin = () => {
    // Who goes on without a check has skipped it, and that is noted.
    if (!session.headphones) {
      session.headphones = "skipped";
      backend.keepHeadphones("skipped").catch((error) => say(error.message));
    }
    present();
  };

  const present = async () => {
    const all = session.presentations;
    const before = all[place - 1];
    if (before && before.mode !== current().mode && !isShown("part") && !isShown("start")) {
      return show("part");
    }
    heard = false;
    plays = 0;
    since = performance.now();
    setMode([current().mode]);
    $("question").textContent = isRating() ? "How clearly do you hear" : "Which word do you hear?";
    $("word").textContent = current().word ?? "";
    $("progress").max = all.length;
    $("progress").value = place;
    $("place").textContent = `${place + 1} of ${all.length}`;
    $("left").textContent = timeLeft();
    for (const input of $("item").querySelectorAll("input[type=radio]")) input.checked = false;
    $("other").value = "";
    $("other").hidden = true;
    for (const field of [$("scale"), $("choices")]) field.disabled = true;
    refresh();
    show("item");
    await load();
    if (all[place + 1]) backend.sound(all[place + 1].sound).catch(() => {});
  };

  const timeLeft = () => {
    if (durations.length < 5) return "";
    const mean = durations.slice(-20).reduce((a, b) => a + b) / Math.min(20, durations.length);
    return `about ${minutes(mean * (session.presentations.length - place))} left`;
  };

  const load = async () => {
    const shown = current();
    try {
      const address = await backend.sound(shown.sound);
      if (shown !== current()) return;
      player.src = address;
      await play();
    } catch (error) {
      if (shown === current()) say(`${error.message} Press Space to try again.`);
    }
  };

  const play = async () => {
    if (!player.getAttribute("src")) return load();
    const shown = current();
    player.currentTime = 0;
    plays += 1;
    try {
      await player.play();
      say("");
    } catch (error) {
      if (shown !== current()) return;
      plays -= 1;
      // A browser that wants to see a key or a click first, or a newer order to play.
      if (error.name === "NotAllowedError" || error.name === "AbortError") return;
      player.removeAttribute("src");
      backend.forget(current().sound);
      say("This recording cannot be played. Press Space to try again.");
    }
  };

  player.addEventListener("ended", () => {
    heard = true;
    answers().disabled = false;
    refresh();
  });
  player.addEventListener("play", () => { $("play-label").textContent = "Playing …"; });
  player.addEventListener("pause", () => { $("play-label").textContent = "Play again"; });

  // What is chosen, as the ratings file has it; null before.
  const chosen = () => {
    const input = answers().querySelector("input[type=radio]:checked");
    if (!input || !heard) return null;
    if (isRating()) return { rating: Number(input.value) };
    if (input.value !== "other:") return { heard: input.value };
    const text = $("other").value.split(/\s+/).filter(Boolean).join(" ");
    return text ? { heard: `other:${text}` } : null;
  };

  const refresh = () => {
    $("next").disabled = busy || !chosen();
    $("hint").textContent = heard ? "" : "Listen to the end first.";
  };

  const choose = (input) => {
    if (!heard || busy || !input) return;
    input.checked = true;
    const isOther = input.value === "other:";
    $("other").hidden = !isOther;
    if (isOther) $("other").focus();
    refresh();
  };

  const submit = async () => {
    const answer = chosen();
    if (busy || !answer) return;
    busy = true;
    refresh();
    const seconds = Math.round(performance.now() - since) / 1000;
    const shown = current();
    try {
      await backend.rate(shown, { ...answer, plays, seconds });
    } catch (error) {
      say(error.message);
      busy = false;
      return refresh();
    }
    busy = false;
    durations.push(Math.min(seconds, 60));
    shown.done = true;
    player.pause();
    player.removeAttribute("src");
    backend.forget(shown.sound);
    say("");
    place = session.presentations.findIndex((other) => !other.done);
    return place < 0 ? finish() : present();
  };

  const finish = () => {
    show("done");
    backend.finished();
  };

  // --- words to choose from ---------------------------------------------------------------------
  const wordInputs = [];
  const addWords = () => {
    for (const word of session.words) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "heard", value: word });
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = word;
      label.append(input, mark);
      $("choices").querySelector(".words").append(label);
      wordInputs.push(input);
    }
  };

  // Letters that follow each other quickly are the beginning of one word.
  let typed = "", typedAt = 0;
  const find = (letter) => {
    const now = performance.now();
    typed = now - typedAt < 1000 ? typed + letter : letter;
    typedAt = now;
    const match = (start) => wordInputs.find((input) => input.value.toLowerCase().startsWith(start));
    const input = match(typed) ?? match(letter);
    if (!match(typed)) typed = letter;
    choose(input);
    input?.scrollIntoView({ block: "nearest" });
  };

  // --- keys and clicks --------------------------------------------------------------------------
  const itemKey = (event) => {
    const { key, target } = event;
    if (key === "Enter") {
      if (target.tagName === "BUTTON" && !chosen()) return;
      event.preventDefault();
      if (!event.repeat) submit();
    } else if (target.id === "other") {
      return;
    } else if (key === " ") {
      if (target.tagName === "BUTTON") return;
      event.preventDefault();
      play();
    } else if (isRating()) {
      if (/^[1-5]$/.test(key)) choose(document.querySelector(`[name=rating][value="${key}"]`));
    } else if (key.length === 1) {
      const special = { 0: "nothing", 9: "other:" }[key];
      if (!special) return find(key.toLowerCase());
      event.preventDefault();
      choose(document.querySelector(`[name=heard][value="${special}"]`));
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isShown("item")) return itemKey(event);
    if (isShown("headphones")) return headphones.key(event);
    // Elsewhere Enter goes on, unless something else has the focus.
    if (event.key !== "Enter" || event.repeat || event.target.matches("a, audio, button, summary")) return;
    if (isShown("start")) begin();
    else if (isShown("part")) present();
  });
  $("start-anew").addEventListener("click", (event) => {
    event.preventDefault();
    backend.anew();
  });
  $("begin").addEventListener("click", begin);
  $("go-on").addEventListener("click", present);
  $("play").addEventListener("click", play);
  $("next").addEventListener("click", submit);
  $("item").addEventListener("change", (event) => {
    if (event.target.type === "radio") choose(event.target);
  });
  $("other").addEventListener("input", refresh);
  $("check-headphones").addEventListener("click", checkHeadphones);

  try {
    session = await backend.session();
    addWords();
    start();
    await addExamples();
  } catch (error) {
    say(error.message);
  }
};
