// Are headphones on? After Woods, Siegel, Traer and McDermott (2017), "Headphone screening to
// facilitate web-based auditory experiments": one of three tones is 6 dB softer, another one out of
// phase between the ears. Loudspeakers cancel that one in the air, so that it seems the softest.
//   isShown()    whether the check is on the screen
//   end(result)  is called with "passed 6/6" and so on, or "skipped"
const headphonesCheck = ({ isShown, end }) => {
  const TRIALS = 6, ENOUGH = 5, PITCH = 200, SECONDS = 1, RAMP = 0.1, PAUSE = 0.4, LEVEL = 0.25;
  const buttons = [...document.querySelectorAll("[data-tone]")];
  let context, trial, right, order;

  const begin = () => {
    trial = right = 0;
    next();
  };

  const next = () => {
    order = ["plain", "soft", "opposed"];
    for (const i of [2, 1]) {
      const j = Math.floor(Math.random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    $("trial").textContent = `${trial + 1} of ${TRIALS}`;
    allow(false);
  };

  const allow = (answers) => {
    for (const button of buttons) button.disabled = !answers;
    $("play-tones").disabled = false;
  };

  const tone = (kind) => {
    const { sampleRate } = context;
    const frames = Math.round(SECONDS * sampleRate), ramp = RAMP * sampleRate;
    const buffer = context.createBuffer(2, frames, sampleRate);
    const [left, other] = [buffer.getChannelData(0), buffer.getChannelData(1)];
    const level = LEVEL * (kind === "soft" ? 0.5 : 1), sign = kind === "opposed" ? -1 : 1;
    for (let i = 0; i < frames; i++) {
      const edge = Math.min(1, i / ramp, (frames - i) / ramp);
      left[i] = level * edge * Math.sin((2 * Math.PI * PITCH * i) / sampleRate);
      other[i] = sign * left[i];
    }
    return buffer;
  };

  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  const play = async () => {
    if ($("play-tones").disabled) return;
    $("play-tones").disabled = true;
    context ??= new AudioContext();
    await context.resume();
    const playing = order;
    for (const [i, kind] of playing.entries()) {
      if (!isShown() || playing !== order) return;
      const source = context.createBufferSource();
      source.buffer = tone(kind);
      source.connect(context.destination);
      source.start();
      buttons[i].classList.add("sounding");
      await pause(SECONDS);
      buttons[i].classList.remove("sounding");
      await pause(PAUSE);
    }
    if (playing === order) allow(true);
  };

  const answer = (number) => {
    if (buttons[number - 1].disabled) return;
    right += order[number - 1] === "soft";
    trial += 1;
    if (trial === TRIALS) return end(`${right >= ENOUGH ? "passed" : "failed"} ${right}/${TRIALS}`);
    next();
    play();
  };

  const key = (event) => {
    if (event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
    if (event.key === " ") {
      event.preventDefault();
      play();
    } else if (/^[1-3]$/.test(event.key)) answer(Number(event.key));
  };

  $("play-tones").addEventListener("click", play);
  $("skip-headphones").addEventListener("click", () => end("skipped"));
  for (const button of buttons) {
    button.addEventListener("click", () => answer(Number(button.dataset.tone)));
  }
  return { begin, key };
};
