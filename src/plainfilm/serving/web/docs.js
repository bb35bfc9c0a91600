// Renders openapi.json: addresses, what they take, what they answer. Text is only ever set as text.
const make = (tag, text = "", parent = null, kind = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  if (parent) parent.append(element);
  return element;
};

const typeOf = (schema) => {
  if (!schema || !Object.keys(schema).length) return "any value";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.const !== undefined) return `"${schema.const}"`;
  if (schema.enum) return schema.enum.map((value) => `"${value}"`).join(" or ");
  if (schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(", ")}]`;
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties) return `{name: ${typeOf(schema.additionalProperties)}}`;
  return schema.format === "binary" ? "film (file)" : schema.type;
};

const table = (parent, head, rows) => {
  const element = make("table", "", parent);
  const first = make("tr", "", element);
  head.forEach((cell) => make("th", cell, first));
  rows.forEach((row) => {
    const line = make("tr", "", element);
    row.forEach((cell) => make("td", cell, line));
  });
};

const showOperation = (parent, method, path, operation, host) => {
  make("code", `${method.toUpperCase()} ${path}`, make("h2", "", parent));
  make("p", operation.description || operation.summary, parent);
  const form = operation.requestBody?.content["multipart/form-data"]?.schema;
  const taken = (operation.parameters || []).map((p) => [p.name, `in the ${p.in}`, typeOf(p.schema)]);
  Object.entries(form?.properties || {}).forEach(([name, schema]) => taken.push([name, "in the multipart form", typeOf(schema)]));
  if (taken.length) {
    make("h3", "Takes", parent);
    table(parent, ["name", "where", "what"], taken);
  }
  const statuses = new Map();
  Object.entries(operation.responses).forEach(([status, answer]) => {
    const [kind, content] = Object.entries(answer.content || {})[0] || ["", {}];
    const what = kind === "application/json" ? typeOf(content.schema) : kind;
    statuses.set(what, [...(statuses.get(what) || []), status]);
  });
  make("h3", "Answers", parent);
  table(parent, ["status", "what"], [...statuses].map(([what, codes]) => [codes.join(", "), what]));
  const output = Object.keys(operation.responses["200"]?.content || {})[0] === "image/png" ? " -o picture.png" : "";
  make("pre", `curl${form ? " -F films=@film.png" : ""} ${host}${path}${output}`, parent);
};

const response = await fetch("openapi.json");
const api = await response.json();
document.getElementById("about").textContent = api.info.description;
document.getElementById("version").textContent = api.openapi;
const paths = document.getElementById("paths");
Object.entries(api.paths).forEach(([path, methods]) =>
  Object.entries(methods).forEach(([method, operation]) => showOperation(paths, method, path, operation, location.origin)),
);
const schemas = document.getElementById("schemas");
Object.entries(api.components.schemas).forEach(([name, schema]) => {
  make("h3", name, schemas);
  if (schema.description) make("p", schema.description.replaceAll("`", ""), schemas, "soft");
  table(schemas, ["field", "what"], Object.entries(schema.properties || {}).map(([field, of]) => [field, typeOf(of)]));
});
