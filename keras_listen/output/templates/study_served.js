// Answers go to the server. Nothing counts as kept before the server has said so; until then it
// stands in the browser's storage, and is sent again, after a reload too.
const served = () => {
  const memory = storage();
  let token, rater;
  const sounds = new Map();

  const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  // Ask until there is an answer: a server that is away or busy is asked again, less and less often.
  const ask = async (path, method = "GET", body = undefined) => {
    for (let attempt = 0; ; attempt++) {
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      if (body) headers["Content-Type"] = "application/json";
      const request = { method, headers, body: body && JSON.stringify(body), cache: "no-store" };
      const answer = await fetch(path, request).catch(() => null);
      if (answer && answer.status !== 429 && answer.status < 500) {
        if (attempt) say("");
        return answer;
      }
      if (attempt) say(`${await trouble(answer)} Your answers are kept here, and sent as soon as it works again.`);
      const asked = Number(answer?.headers.get("Retry-After")) || 0;
      await wait(Math.max(asked, Math.min(15, 0.5 * 2 ** attempt)) * (1 + Math.random() / 4));
    }
  };

  const trouble = async (answer) => {
    if (!answer) return "The server does not answer.";
    const { error } = await answer.json().catch(() => ({}));
    const said = error ?? `the server says ${answer.status}`;
    return `${said[0].toUpperCase()}${said.slice(1)}.`;
  };
  const why = async (answer) => new Error(await trouble(answer));

  const json = async (...request) => {
    const answer = await ask(...request);
    if (!answer.ok) throw await why(answer);
    return answer.json();
  };

  // The link of a rater is /#TOKEN; that of the study, with which one becomes a rater, /#join=CODE.
  const enter = async () => {
    const address = location.hash.slice(1);
    const [, code] = address.split(/^join=/);
    if (!code) {
      if (!address) throw new Error("This address lacks its last part, behind #: please use the whole link.");
      token = address;
      return;
    }
    const place = `join/${code}`;
    backend.anew = () => {
      memory.delete(place);
      location.reload();
    };
    token = memory.get(place);
    // A server that has begun again with another database does not know it.
    if (token && (await ask("api/session")).status === 401) token = null;
    token ??= (await json("api/join", "POST", { code })).token;
    memory.set(place, token);
  };

  const send = async (position, answer) => {
    const reply = await ask(`api/ratings/${position}`, "PUT", answer);
    // 409: this place was answered before, from another window perhaps.
    if (!reply.ok && reply.status !== 409) throw await why(reply);
    memory.delete(`pending/${rater}`);
    return reply.ok;
  };

  const backend = {
    async session() {
      await enter();
      let session = await json("api/session");
      rater = session.rater;
      $("own-link").href = `#${token}`;
      const pending = JSON.parse(memory.get(`pending/${rater}`) ?? "null");
      if (pending) {
        await send(pending.position, pending.answer);
        session = await json("api/session");
      }
      return session;
    },
    sound(name) {
      const load = async () => {
        const answer = await ask(`api/sounds/${encodeURIComponent(name)}`);
        if (!answer.ok) throw await why(answer);
        return URL.createObjectURL(await answer.blob());
      };
      if (!sounds.has(name)) {
        const loading = load();
        loading.catch(() => sounds.delete(name));
        sounds.set(name, loading);
      }
      return sounds.get(name);
    },
    forget(name) {
      sounds.get(name)?.then(URL.revokeObjectURL, () => {});
      sounds.delete(name);
    },
    async rate({ position }, answer) {
      memory.set(`pending/${rater}`, JSON.stringify({ position, answer }));
      if (await send(position, answer)) return;
      // What else was answered there is not known here.
      location.reload();
      await new Promise(() => {});
    },
    async keepHeadphones(headphones) {
      await json("api/headphones", "PUT", { headphones });
    },
    finished() {},
  };
  return backend;
};

// A link that is opened in the same window is another place in the test.
addEventListener("hashchange", () => location.reload());
listeningTest(served());
