// The lecture's page: language, light or dark, sliders and copied commands. The address holds what was chosen.
"use strict";

const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
if (location.hash.length > 1 && !location.hash.includes("=")) state.set("at", location.hash.slice(1));

function remember(key, value) {
  if (value === null) state.delete(key);
  else state.set(key, value);
  history.replaceState(null, "", "#" + state);
}

function language() {
  return document.getElementById("lang-es").checked ? "es" : "en";
}

function chooseLanguage(lang, keep = true) {
  document.getElementById("lang-" + lang).checked = true;
  document.documentElement.lang = lang;
  if (keep) remember("lang", lang);
}

for (const input of document.querySelectorAll("input[name=lang]")) {
  input.addEventListener("change", () => {
    const before = topmost();
    const from = before && before.getBoundingClientRect().top;
    chooseLanguage(input.value);
    if (before) scrollBy({ top: before.getBoundingClientRect().top - from, behavior: "instant" });
  });
}

// The heading that is being read, so that another language begins at the same place.
function topmost() {
  const headings = [...document.querySelectorAll("section.heading")];
  return headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3).pop();
}

const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember("theme", root.dataset.theme);
});

for (const series of document.querySelectorAll(".series")) {
  const figures = [...series.querySelectorAll("figure")];
  const names = figures.map((figure) => figure.querySelector("figcaption").textContent);
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 0;
  slider.max = figures.length - 1;
  const output = document.createElement("output");
  slider.setAttribute("aria-label", names[0].split(" = ")[0]);
  const box = document.createElement("div");
  box.className = "slider";
  box.append(output, slider);
  series.append(box);
  series.classList.add("slides");
  const key = series.dataset.key;
  const chosen = Number(state.get(key) ?? NaN);
  series.show = (place) => {
    slider.value = place;
    slider.setAttribute("aria-valuetext", names[place]);
    output.textContent = names[place];
    figures.forEach((figure, k) => { figure.hidden = k !== place; });
  };
  series.show(chosen >= 0 && chosen < figures.length ? Math.floor(chosen) : Math.floor(figures.length / 2));
  slider.addEventListener("input", () => {
    for (const same of document.querySelectorAll(".series")) {
      if (same.dataset.key === key) same.show(Number(slider.value));
    }
    remember(key, slider.value);
  });
}

for (const image of document.querySelectorAll(".others img")) {
  const zoom = document.createElement("button");
  zoom.type = "button";
  zoom.className = "zoom";
  image.replaceWith(zoom);
  zoom.append(image);
  zoom.addEventListener("click", () => zoom.setAttribute("aria-pressed", zoom.parentElement.classList.toggle("large")));
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.innerText); // what is shown: one language
      button.classList.add("copied");
    } catch {
      // What is selected can be copied by hand.
    }
  });
}

const contents = document.querySelector(".contents details");
if (!matchMedia("(min-width: 68rem)").matches) contents.open = false;
for (const link of document.querySelectorAll(".contents a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const place = link.getAttribute("href").slice(1);
    remember("at", place);
    go(place);
  });
}

function go(place, behavior = "auto") {
  const heading = document.getElementById(place);
  if (!heading) return;
  heading.scrollIntoView({ behavior });
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

const watch = new IntersectionObserver(() => {
  const now = topmost();
  for (const link of document.querySelectorAll(".contents a")) {
    if (now && link.getAttribute("href") === "#" + now.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}, { rootMargin: "0px 0px -66% 0px" });
for (const heading of document.querySelectorAll("section.heading")) watch.observe(heading);

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("main details:not([open])")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });

const wanted = state.get("lang") ?? (navigator.language.startsWith("es") ? "es" : "en");
chooseLanguage(wanted === "es" ? "es" : "en", state.has("lang"));
if (["light", "dark"].includes(state.get("theme"))) document.documentElement.dataset.theme = state.get("theme");
if (state.has("at")) go(state.get("at"), "instant");
