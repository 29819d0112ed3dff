// A picture that the browser can't decode, as HEIC, would be shown as a broken one.
const show = (picture, shown) => picture.closest("#picture")?.classList.toggle("unshown", !shown);
// Gradio's pictures have no names for who can't see them.
const fileName = (picture) => decodeURIComponent(picture.src.split("/").pop()).replace(/\.[a-z]+$/i, "");
const name = (picture) => {
  if (picture.closest("#examples")) picture.alt = picture.title = fileName(picture);
  else if (picture.closest("#picture")) picture.alt = "your picture";
  else if (picture.closest("#seen")) picture.alt = picture.closest("#seen").querySelector("label").innerText.trim();
};
for (const [event, shown] of [["error", false], ["load", true]]) {
  document.addEventListener(event, ({ target }) => {
    if (!(target instanceof HTMLImageElement)) return;
    show(target, shown);
    name(target);
  }, true);
}
