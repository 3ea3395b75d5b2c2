
// Shows dim pictures of faces brighter, like a longer exposure: their values are multiplied. The pictures themselves stay as they
// are. A picture in which anything is well lit, a background too, is none of them.
const DIM_BELOW = 120, SHOWN_LIGHT = 150, MOST_GAIN = 4;  // light of the brightest twentieth of a picture, of 255
const SAMPLES = 32;  // a side
const sampling = make("canvas", {width: SAMPLES, height: SAMPLES}).getContext("2d", {willReadFrequently: true});

// The light that the brightest twentieth of a picture has; of a contact sheet, that of the tile that is shown.
function lightOf(picture) {
  const side = Math.min(picture.naturalWidth, picture.naturalHeight), left = -parseFloat(picture.style.objectPosition) || 0;
  sampling.drawImage(picture, left, 0, side, side, 0, 0, SAMPLES, SAMPLES);
  const {data} = sampling.getImageData(0, 0, SAMPLES, SAMPLES), lights = [];
  for (let i = 0; i < data.length; i += 4) lights.push(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
  return lights.sort((a, b) => a - b)[Math.floor(0.95 * lights.length)];
}
// In place of a picture that is not there: it was deleted or erased since the page learnt of it, or there never was one.
const SILHOUETTE = "data:image/svg+xml," + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" fill="#8b93a3"><circle cx="12" cy="9.5" r="4.2"/><path d="M3.5 24a8.500 8 0 0 1 17 0z"/></svg>');
document.addEventListener("error", event => {
  const picture = event.target;
  if (!(picture instanceof HTMLImageElement) || picture.src === SILHOUETTE || picture.matches("#still, #picture img")) return;
  picture.removeAttribute("srcset");
  picture.classList.remove("cut");
  picture.style.objectPosition = "";
  picture.src = SILHOUETTE;
}, true);
document.addEventListener("load", event => {
  const picture = event.target;
  if (!(picture instanceof HTMLImageElement) || picture.matches("#still, #picture img") || picture.src === SILHOUETTE || !picture.naturalWidth) return;
  const light = lightOf(picture);
  picture.style.filter = light < DIM_BELOW ? `brightness(${Math.min(MOST_GAIN, SHOWN_LIGHT / Math.max(1, light)).toFixed(2)})` : "";
}, true);  // such events do not bubble
