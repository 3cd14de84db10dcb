/* One call, in a file of its own. */
const told = JSON.parse(document.getElementById("call").textContent);
document.getElementById("flow").textContent = told.flow;
document.getElementById("about").textContent = told.about;
showCall({ ...told, no_graph: "The flow is not at hand: --agent names it." });
