"use strict";
// The page of administrators: how far raters are, and the ratings as a file.
const $ = (id) => document.getElementById(id);
const COLUMNS = ["rater", "rated", "recordings", "joined_at", "last_at", "headphones"];
let token = location.hash.slice(1);

const say = (text) => {
  $("message").textContent = text;
  $("message").hidden = !text;
};

const ask = async (path) => {
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { headers, cache: "no-store" }).catch(() => null);
  if (!answer) throw new Error("The server does not answer.");
  if (answer.status === 401) throw new Error("This is not the administrators' token.");
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
};

const line = (row) => {
  const line = document.createElement("tr");
  for (const name of COLUMNS) {
    const cell = document.createElement("td");
    cell.className = "name";
    cell.textContent = row[name] ?? "–";
    line.append(cell);
  }
  return line;
};

const show = async () => {
  try {
    const { study, mode, raters } = await (await ask("api/admin/status")).json();
    $("study").textContent = `${study}, ${mode}`;
    $("raters").textContent = raters.length;
    $("finished").textContent = raters.filter((row) => row.rated === row.recordings).length;
    $("ratings").textContent = raters.reduce((sum, row) => sum + row.rated, 0);
    $("rows").replaceChildren(...raters.map(line));
    $("status").hidden = false;
    $("login").hidden = true;
    say("");
  } catch (error) {
    say(error.message);
  }
};

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  show();
});
$("refresh").addEventListener("click", show);
$("export").addEventListener("click", async () => {
  try {
    const answer = await ask("api/admin/ratings.csv");
    saveFile(`ratings-${$("study").textContent.split(",")[0]}.csv`, await answer.text());
  } catch (error) {
    say(error.message);
  }
});
if (token) show();
