// The console. Everything that came from a channel or a table is written with textContent: it is never markup.
const find = (selector) => document.querySelector(selector);
let state;
let live;

async function ask(path, body) {
  const options = body === undefined ? {} : { method: 'POST', body };
  const response = await fetch(`/console/${path}`, options);
  const answer = await response.json();
  if (response.status === 401 && path !== 'login') logIn();
  if (!response.ok) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
  return answer;
}

function logIn() {
  state = undefined;
  live?.close();
  find('#login').hidden = false;
  find('#view').hidden = find('#logout').hidden = true;
  find('#who').textContent = '';
}

function row(cells, kind = 'td') {
  const line = document.createElement('tr');
  for (const cell of cells) {
    const element = document.createElement(kind);
    element.textContent = cell === null ? 'NULL' : cell;
    line.append(element);
  }
  return line;
}

async function refresh() {
  try {
    state = await ask('state');
  } catch (error) {
    if (state) find('#who').textContent = `no answer: ${error.message}`;
    return;
  }
  find('#login').hidden = true;
  find('#view').hidden = find('#logout').hidden = false;
  find('#who').textContent = `${state.user}, tenant ${state.tenant}`;
  find('#numbers').replaceChildren(...Object.entries(state.numbers).flatMap(([name, number]) => {
    const term = document.createElement('dt');
    const value = document.createElement('dd');
    term.textContent = name;
    value.textContent = number.toLocaleString();
    return [term, value];
  }));
  showChannels(state.channels);
}

/** The list is only touched when it changed, so that the keyboard's focus stays where it is. */
function showChannels(channels) {
  const text = JSON.stringify(channels);
  const body = find('#channels tbody');
  if (body.dataset.shown === text) return;
  const focused = body.contains(document.activeElement) ? document.activeElement.textContent : undefined;
  body.dataset.shown = text;
  body.replaceChildren(...channels.map(({ name, subscribers }) => {
    const line = row(['', subscribers.toLocaleString()]);
    const button = document.createElement('button');
    button.textContent = name;
    button.title = `Watch ${name}`;
    line.firstChild.append(button);
    return line;
  }));
  if (channels.length === 0) body.append(row(['nobody is subscribed', '']));
  [...body.querySelectorAll('button')].find((button) => button.textContent === focused)?.focus();
}

/** What is published in a channel, from the server's own view: no subscription, so nobody sees that we watch. */
function watch(channel) {
  live?.close();
  const status = find('#tail-status');
  const lines = find('#tail-lines');
  lines.replaceChildren();
  const events = new EventSource(`/console/tail?channel=${encodeURIComponent(channel)}`);
  live = events;
  tell(status, 'connecting…');
  events.onopen = () => tell(status, `watching ${channel}`);
  events.onerror = () => {
    if (live !== events) return;
    // The browser comes back by itself, unless the server refused.
    const over = events.readyState === EventSource.CLOSED;
    tell(status, over ? 'The server refused: is this the name of a channel?' : 'connection lost, trying again…', over);
    if (over) refresh();
  };
  events.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    const line = document.createElement('li');
    const parts = [new Date(message.time).toLocaleTimeString()];
    if (message.offset) parts.push(`#${message.offset}`);
    if (message.user) parts.push(`user ${message.user}`);
    if (message.event) parts.push(message.event);
    const head = document.createElement('small');
    head.textContent = parts.join(' · ');
    // The server cuts long payloads.
    const cut = new TextEncoder().encode(message.data).length < message.bytes;
    line.append(head, document.createTextNode(message.data + (cut ? `… (${message.bytes.toLocaleString()} bytes)` : '')));
    lines.prepend(line);
    if (message.missed) tell(status, `watching ${channel}; too fast, ${message.missed} are not shown`);
    if (lines.children.length > 200) lines.lastChild.remove();
  };
}

function tell(status, text, isError = false) {
  status.className = isError ? 'error' : '';
  status.textContent = text;
}

async function runStatement() {
  const status = find('#sql-status');
  const table = find('#rows');
  table.tHead.replaceChildren();
  table.tBodies[0].replaceChildren();
  tell(status, 'running…');
  try {
    const answer = await ask('sql', find('#statement').value);
    if (!answer.columns) {
      tell(status, `OK, ${answer.affected_rows} rows affected. ${answer.info}`);
      return;
    }
    const most = 1000;
    const shown = answer.rows.length > most ? `, the first ${most} are shown` : '';
    tell(status, [`${answer.rows.length} rows${shown}`, ...(answer.warnings ?? [])].join('\n'));
    table.tHead.append(row(answer.columns, 'th'));
    table.tBodies[0].append(...answer.rows.slice(0, most).map((cells) => row(cells)));
  } catch (error) {
    tell(status, error.code ? `Error ${error.code}: ${error.message}` : error.message, true);
  }
}

find('#login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { user, key } = event.target.elements;
  find('#login-error').textContent = '';
  try {
    await ask('login', JSON.stringify({ user: user.value, key: key.value }));
    key.value = '';
    await refresh();
  } catch (error) {
    find('#login-error').textContent = error.message;
  }
});
find('#logout').addEventListener('click', async () => {
  await ask('logout', '');
  logIn();
});
find('#tail').addEventListener('submit', (event) => {
  event.preventDefault();
  watch(event.target.elements.channel.value);
});
find('#channels').addEventListener('click', ({ target }) => {
  if (target.tagName !== 'BUTTON') return;
  find('#tail-channel').value = target.textContent;
  watch(target.textContent);
});
find('#sql').addEventListener('submit', (event) => {
  event.preventDefault();
  runStatement();
});
find('#statement').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) runStatement();
});
refresh();
setInterval(() => { if (state && !document.hidden) refresh(); }, 2000);
