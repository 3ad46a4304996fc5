// The browser's storage, or where that is forbidden a memory that lasts as long as the page.
const storage = () => {
  const name = (key) => `keras-listen/${key}`;
  try {
    localStorage.setItem(name("probe"), "");
    localStorage.removeItem(name("probe"));
  } catch {
    const kept = new Map();
    return { get: (k) => kept.get(k) ?? null, set: (k, v) => kept.set(k, v), delete: (k) => kept.delete(k), lasts: false };
  }
  return {
    get: (key) => localStorage.getItem(name(key)),
    set: (key, value) => localStorage.setItem(name(key), value),
    delete: (key) => localStorage.removeItem(name(key)),
    lasts: true,
  };
};

// Hand a text out as a file.
const saveFile = (name, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
