// What all demos need: a connection whose state is shown, a channel with its history, what the server says of itself, and SQL
// with a button that copies it. What others wrote is only ever shown as text.
import { connect } from './cometql/index.js';

/** Names this browser in lists of who is there. Anonymous demos share one connection, so it is the same in all of them. */
export const uuid = localStorage.demo_uuid ||= crypto.randomUUID();

export const $ = (selector) => document.querySelector(selector);

/** An element with properties and children. Texts become text, never markup. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Connects, and shows how the connection is. Without options: as nobody in particular. */
export function open(options = {}) {
  const client = connect({ uuid, ...options });
  const show = ({ status, tabs, error }) => {
    const shared = tabs > 1 ? `connected, shared by ${tabs} tabs` : 'connected';
    const words = { online: shared, connecting: 'connecting…', offline: 'connection lost, trying again' };
    $('#status').dataset.state = status;
    $('#status').textContent = words[status] ?? `not connected: ${error?.message ?? status}`;
  };
  client.on('state', show);
  client.on('error', (error) => { say(error.message); });
  show(client.state);
  return client;
}

/** Shows what a channel kept, and then all that comes: nothing is missing between the two, and nothing comes twice. */
export async function follow(client, channel, show, { forget, ...options } = {}) {
  const { publications, epoch, offset } = await client.history(channel, { limit: 100 });
  forget?.();
  publications.forEach(show);
  const subscription = client.subscribe(channel, show, { since: { epoch, offset }, ...options });
  const off = client.on('gap', ({ channel: where }) => {
    if (where !== channel) return;
    // More was missed than the channel keeps: begin anew.
    off();
    subscription.unsubscribe();
    follow(client, channel, show, { forget, ...options }).catch((error) => say(error.message));
  });
  await subscription.ready;
}

/** Runs something again whenever the channel goes on after an outage: who is there may be others. */
export function again(client, channel, run) {
  for (const type of ['recovered', 'gap']) client.on(type, (event) => { if (event.channel === channel) run(); });
}

/** What `cometql demo` says of itself. Asked each time, because a server that was started again may be elsewhere. */
export async function server() {
  const response = await fetch('demo.json', { cache: 'no-store' });
  return response.json();
}

/** Asks the demos' own backend, which a real site would have at its own address. */
export async function ask(path, form) {
  const { backend } = await server();
  const response = await fetch(backend + path, { method: 'POST', body: new URLSearchParams(form) });
  if (!response.ok) throw new Error(`the backend answered ${response.status}`);
  return response.json();
}

/** A form that the backend takes; what went wrong is told beside it. */
export function submit(form, send) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button:not([type])');
    button.disabled = true;
    say('');
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      say(error instanceof TypeError ? 'The backend does not answer. Is the server running?' : error.message);
    }
    button.disabled = false;
  });
}

/** Tells of a failure. */
export function say(problem) {
  $('#problem').textContent = problem;
}

export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

function copyButton(pre) {
  const button = element('button', { type: 'button', className: 'copy', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(pre.textContent.trim());
      button.textContent = 'Copied';
    } catch {
      // Not allowed here: then it is at least selected.
      getSelection().selectAllChildren(pre);
      button.textContent = 'Press Ctrl+C';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
  return button;
}

/** Fills in what only the server knows: `data-server="line"` gets its `line`, and so on. */
async function fillIn() {
  const facts = await server();
  for (const place of document.querySelectorAll('[data-server]')) {
    const fact = facts[place.dataset.server] ?? '';
    if (place.href === undefined) place.textContent = fact;
    else place.href = fact;
  }
  document.documentElement.dataset.backend = facts.backend ? 'yes' : 'no';
}

for (const pre of document.querySelectorAll('pre')) {
  const box = element('div', { className: `sql ${pre.className}` });
  pre.className = '';
  pre.replaceWith(box);
  box.append(pre, copyButton(pre));
}
fillIn();
