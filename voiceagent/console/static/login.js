/* Who may see the page: whoever has shown the token, or sits at the server's machine. */
const byId = (id) => document.getElementById(id);
const at = (path) => new URL(path, document.baseURI);
const waiting = [];

/* Have `tell` called with the agents there are, whenever it has turned out that the page may be seen. */
export const whenKnown = (tell) => waiting.push(tell);

export const sayOfLine = (text, wrong = false) => {
  byId("line").textContent = text;
  byId("line").classList.toggle("wrong", wrong);
};

/* See whether the page may be seen; returns whether it may. */
export const show = async () => {
  const answer = await fetch(at("console/agents")).catch(() => null);
  byId("login").hidden = !answer || answer.status !== 401;
  byId("console").hidden = !(answer && answer.ok);
  if (!answer) sayOfLine("The server does not answer. Is it still running?", true);
  else if (answer.status === 401) { sayOfLine(""); byId("token").focus(); }
  else if (!answer.ok) sayOfLine(answer.status === 403 ? "This page may only be opened by the server's own address." : `The server answers ${answer.status}.`, true);
  else {
    const { agents } = await answer.json();
    sayOfLine("");
    for (const tell of waiting) tell(agents);
    return true;
  }
  return false;
};

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(at("console/login"), { method: "POST", body: JSON.stringify({ token: byId("token").value }) }).catch(() => null);
  byId("token").value = "";
  byId("login-says").textContent = !answer ? "The server does not answer." : answer.ok ? "" : "This is not the token.";
  if (answer && answer.ok) await show();
});
