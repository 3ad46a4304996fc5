"use strict";
// Tickets: arrow keys go through them, and sounds that stand once in the page find their players.
const Tickets = (() => {
  const list = document.getElementById("ticket-list");
  const byId = new Map([...list.querySelectorAll(".ticket")].map((t) => [t.dataset.id, t]));
  let sounds = null;

  // The address of a sound of the folder: beside the page, or in it.
  const address = (name) => {
    const block = document.getElementById("data-sounds");
    if (!block) return "sounds/" + encodeURIComponent(name);
    // They may be many megabytes: read when the first is asked for.
    sounds ??= JSON.parse(block.textContent);
    return sounds[name];
  };

  const shown = () => [...byId.values()].filter((ticket) => !ticket.hidden);

  const focus = (ticket) => ticket?.querySelector("summary").focus();

  const keys = {
    ArrowDown: (all, i) => focus(all[Math.min(i + 1, all.length - 1)]),
    ArrowUp: (all, i) => focus(all[Math.max(i - 1, 0)]),
    Home: (all) => focus(all[0]),
    End: (all) => focus(all.at(-1)),
    ArrowRight: (all, i) => { all[i].open = true; },
    ArrowLeft: (all, i) => { all[i].open = false; },
    Escape: () => document.getElementById("map").focus(),
  };

  list.addEventListener("keydown", (event) => {
    if (event.target.tagName !== "SUMMARY" || !(event.key in keys)) return;
    event.preventDefault();
    const all = shown();
    keys[event.key](all, all.indexOf(event.target.parentNode));
  });

  // Thousands of players and pictures that nobody looks at would fill the memory: a ticket's content
  // becomes part of the page when it is first opened.
  const fill = (ticket) => {
    const template = ticket.querySelector("template");
    if (!template) return;
    // A copy: players that were made outside of a page do not load.
    template.replaceWith(document.importNode(template.content, true));
    for (const player of ticket.querySelectorAll("audio[data-sound]")) {
      player.src = address(player.dataset.sound);
    }
  };
  list.addEventListener("toggle", ({ target }) => fill(target), true);

  // Open the ticket of a point, if it has one, and bring it into view.
  const open = (id) => {
    const ticket = byId.get(id);
    if (!ticket) return;
    for (const other of list.querySelectorAll(".ticket[open]")) other.open = other === ticket;
    fill(ticket);
    ticket.hidden = false;
    ticket.open = true;
    history.replaceState(null, "", `#ticket-${encodeURIComponent(id)}`);
    // Where tickets have a column of their own, the map stays where it is.
    if (list.scrollHeight > list.clientHeight + 1) {
      list.scrollTop += ticket.getBoundingClientRect().top - list.getBoundingClientRect().top;
    } else {
      ticket.scrollIntoView({ block: "start" });
    }
  };

  const openAddressed = () => {
    const [, id] = location.hash.split(/^#ticket-/);
    if (id) open(decodeURIComponent(id));
  };
  addEventListener("hashchange", openAddressed);
  openAddressed();

  const filter = (isShown) => {
    for (const [id, ticket] of byId) ticket.hidden = !isShown(id);
    document.getElementById("ticket-count").textContent = shown().length;
  };

  return { address, open, filter };
})();
