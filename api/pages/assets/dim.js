
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
document.addEventListener("load", event => {
  const picture = event.target;
  if (!(picture instanceof HTMLImageElement) || picture.matches("#still, #picture img") || !picture.naturalWidth) return;
  const light = lightOf(picture);
  picture.style.filter = light < DIM_BELOW ? `brightness(${Math.min(MOST_GAIN, SHOWN_LIGHT / Math.max(1, light)).toFixed(2)})` : "";
}, true);  // such events do not bubble
