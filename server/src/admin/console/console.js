// The console. Everything that came from a channel or a table is written with textContent: it is never markup.
const find = (selector) => document.querySelector(selector);
let state;
let live;

async function ask(path, body) {
  const options = body === undefined ? {} : { method: 'POST', body };
  const response = await fetch(`/console/${path}`, options);
  const answer = await response.json();
  if (response.status === 401 && path !== 'login') logIn();
  if (!response.ok) throw new Error(answer.error.message);
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
  } catch {
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
  find('#channels tbody').replaceChildren(...state.channels.map((channel) => row([channel.name, channel.subscribers])));
}

function watch(channel) {
  live?.close();
  const status = find('#tail-status');
  const lines = find('#tail-lines');
  lines.replaceChildren();
  const scheme = state.browsers_tls ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.hostname}:${state.browsers_port}/connect?v=1&tenant=${state.tenant}`);
  live = socket;
  status.textContent = 'connecting…';
  socket.onopen = () => socket.send(JSON.stringify({ id: 1, subscribe: channel }));
  socket.onclose = () => { if (live === socket) status.textContent = 'closed'; };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.error) status.textContent = message.error.message;
    else if (message.id === 1) status.textContent = `watching ${channel}`;
    if (message.push !== 'publication') return;
    const line = document.createElement('li');
    const payload = typeof message.data === 'string' ? message.data : JSON.stringify(message.data);
    line.textContent = `${new Date(message.time).toLocaleTimeString()} ${message.event ?? ''} ${payload}`;
    lines.prepend(line);
    if (lines.children.length > 200) lines.lastChild.remove();
  };
}

async function runStatement() {
  const status = find('#sql-status');
  const table = find('#rows');
  table.tHead.replaceChildren();
  table.tBodies[0].replaceChildren();
  status.className = '';
  status.textContent = 'running…';
  try {
    const answer = await ask('sql', find('#statement').value);
    if (!answer.columns) {
      status.textContent = `OK, ${answer.affected_rows} rows affected. ${answer.info}`;
      return;
    }
    status.textContent = `${answer.rows.length} rows`;
    table.tHead.append(row(answer.columns, 'th'));
    table.tBodies[0].append(...answer.rows.slice(0, 1000).map((cells) => row(cells)));
  } catch (error) {
    status.className = 'error';
    status.textContent = error.message;
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
find('#sql').addEventListener('submit', (event) => {
  event.preventDefault();
  runStatement();
});
find('#statement').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) runStatement();
});
refresh();
setInterval(() => { if (state && !document.hidden) refresh(); }, 2000);
