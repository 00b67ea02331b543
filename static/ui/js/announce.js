/** Tell those who hear the page what others see happen. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
