// The page of /docs: operations of openapi.json with their examples, each to be tried against this server.
"use strict";

const make = (name, text = "", properties = {}) =>
  Object.assign(document.createElement(name), { textContent: text }, properties);
const nameOf = (reference) => reference.split("/").pop();

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.additionalProperties?.type) return `object of ${schema.additionalProperties.type}`;
  return [schema.type || "any", schema.format || schema.contentEncoding].filter(Boolean).join(", ");
}

function typeCell(schema) {
  const cell = make("td");
  const reference = schema.$ref || schema.items?.$ref;
  cell.append(reference ? make("a", typeOf(schema), { href: `#type-${nameOf(reference)}` }) : typeOf(schema));
  return cell;
}

function fieldTable(properties) {
  const table = make("table");
  for (const [name, schema] of Object.entries(properties)) {
    const row = make("tr");
    row.append(make("td"), typeCell(schema), make("td", schema.description || ""));
    row.firstChild.append(make("code", name));
    table.append(row);
  }
  return table;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function operationOf(api, path, verb, operation) {
  const box = make("details");
  const head = make("summary");
  head.append(make("b", verb.toUpperCase()), make("code", path), operation.summary || "");
  const inputs = {};
  const parameters = make("table");
  for (const parameter of (operation.parameters || []).filter((each) => !each.$ref)) {
    const input = make("input", "", { placeholder: parameter.in });
    const example = parameter.example;
    if (example !== undefined) input.value = typeof example === "string" ? example : [].concat(example).join(",");
    inputs[parameter.name] = { input, parameter };
    const row = make("tr");
    const schema = parameter.schema || parameter.content["application/json"].schema;
    row.append(make("td"), make("td"), typeCell(schema), make("td", parameter.description || ""));
    row.children[0].append(make("code", parameter.name));
    row.children[1].append(input);
    parameters.append(row);
  }
  box.append(head, make("p", operation.description || ""), parameters);

  const [type, body] = Object.entries(operation.requestBody?.content || {})[0] || [];
  const isText = type && type !== "application/zip";
  const text = make("textarea", "", { rows: 8, spellcheck: false });
  const file = make("input", "", { type: "file" });
  if (isText) {
    text.value = typeof body.example === "string" ? body.example : JSON.stringify(body.example ?? {}, null, 2);
    text.rows = Math.min(24, text.value.split("\n").length + 1);
    const fields = make("details");
    fields.append(make("summary", `fields of the body (${type})`));
    const schema = body.schema.$ref ? api.components.schemas[nameOf(body.schema.$ref)] : body.schema;
    fields.append(fieldTable(schema.properties || {}));
    box.append(text, fields);
  } else if (type) {
    box.append(file);
  }

  const address = () => {
    let filled = path;
    const query = new URLSearchParams();
    for (const [name, { input, parameter }] of Object.entries(inputs)) {
      if (parameter.in === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.schema?.type === "array")
        for (const each of input.value.split(",")) query.append(name, each);
      else if (input.value) query.append(name, input.value);
    }
    return filled + (query.size ? `?${query}` : "");
  };
  const curl = make("pre");
  const show = () => {
    const parts = ["curl"];
    if (verb !== "get" && !(verb === "post" && type)) parts.push(`-X ${verb.toUpperCase()}`);
    if (document.getElementById("key").value) parts.push(`-H 'authorization: Bearer KEY'`);
    if (type === "application/json") parts.push(`--json ${quoted(text.value.replace(/\s*\n\s*/g, " "))}`);
    else if (type) parts.push(`-H 'content-type: ${type}'`, isText ? `--data-binary ${quoted(text.value)}` : "-T FILE");
    curl.textContent = `${parts.join(" ")} ${quoted(location.origin + address())}`;
  };
  const answer = make("pre", "", { hidden: true });
  const send = make("button", "Send");
  let running = null;
  send.onclick = async () => {
    if (running) { running.abort(); return; }
    running = new AbortController();
    send.textContent = "Stop";
    answer.hidden = false;
    answer.textContent = "…";
    const headers = {};
    const key = document.getElementById("key").value;
    if (key) headers.authorization = `Bearer ${key}`;
    if (type) headers["content-type"] = type;
    try {
      const sent = isText ? text.value : type ? file.files[0] : undefined;
      const response = await fetch(address(), { method: verb.toUpperCase(), headers, body: sent, signal: running.signal });
      answer.textContent = `${response.status} ${response.statusText}\n`;
      const kind = response.headers.get("content-type") || "";
      if (kind.includes("json") && !kind.includes("ndjson")) {
        answer.textContent += JSON.stringify(await response.json(), null, 2);
      } else if (kind.startsWith("text/") || kind.includes("ndjson")) {
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let part; !(part = await reader.read()).done; ) answer.textContent += part.value;
      } else {
        const blob = await response.blob();
        const link = make("a", `save ${blob.size} bytes`, { href: URL.createObjectURL(blob), download: "" });
        link.download = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "")?.[1] || "answer";
        answer.append(link);
      }
    } catch (error) {
      answer.textContent += String(error);
    }
    running = null;
    send.textContent = "Send";
  };
  box.append(curl, send, answer);
  box.oninput = show;
  box.ontoggle = show;
  return box;
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("version").textContent = api.info.version;
  const about = api.info.description.split("`").map((part, index) => (index % 2 ? make("code", part) : part));
  document.getElementById("about").replaceChildren(...about);
  const place = document.getElementById("operations");
  place.replaceChildren();
  const groups = new Map(api.tags.map((tag) => [tag.name, tag.description]));
  for (const [path, verbs] of Object.entries(api.paths))
    for (const operation of Object.values(verbs)) if (!groups.has(operation.tags[0])) groups.set(operation.tags[0], "");
  for (const [tag, description] of groups) {
    place.append(make("h2", tag), make("p", description));
    for (const [path, verbs] of Object.entries(api.paths))
      for (const [verb, operation] of Object.entries(verbs))
        if (operation.tags[0] === tag) place.append(operationOf(api, path, verb, operation));
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const box = make("details", "", { id: `type-${name}` });
    box.append(make("summary", name), make("p", schema.description || ""), fieldTable(schema.properties || {}));
    document.getElementById("types").append(box);
  }
  const open = () => { const found = document.getElementById(location.hash.slice(1)); if (found) found.open = true; };
  addEventListener("hashchange", open);
  open();
}

main().catch((error) => { document.getElementById("operations").textContent = String(error); });
