// The slider beside a model's context: dragging it fills the field in, and the plan follows.

const LEAST = 512;

const slider = document.getElementById("context-slider");
const field = document.getElementById("id_context");

// Each step to the right is a share more, so that short and long contexts are as easy to hit.
const most = Math.max(LEAST * 2, Number(slider?.dataset.most));
const contextAt = (place) => {
  const exact = LEAST * (most / LEAST) ** (place / 100);
  return place >= 100 ? most : Math.max(LEAST, Math.round(exact / 256) * 256);
};
const placeOf = (context) => (100 * Math.log(context / LEAST)) / Math.log(most / LEAST);

function follow() {
  const context = Number(field.value || slider.dataset.now);
  slider.value = placeOf(Math.min(most, Math.max(LEAST, context)));
  slider.setAttribute("aria-valuetext", String(context));
}

if (slider && field) {
  follow();
  slider.addEventListener("input", () => {
    field.value = contextAt(Number(slider.value));
    slider.setAttribute("aria-valuetext", field.value);
  });
  field.addEventListener("input", follow);
}
