// One channel for what is said, which is kept, and one for what only matters now: names, and who is typing.
import { $, again, clock, element, follow, open, say, uuid } from './common.js';

const SAID = 'chat_demo';
const LIVE = 'chat_live';
/** How often typing is told, and how long it is believed, in milliseconds. */
const TELL_MS = 2000;
const BELIEVE_MS = 4000;

const client = open();
const names = new Map();
const typing = new Map();
let told = 0;

const guest = `Guest ${uuid.slice(0, 4)}`;
const myName = () => $('#name').value.trim() || guest;
const nameOf = (who) => names.get(who) ?? `Guest ${who.slice(0, 4)}`;
const tell = (event) => client.publish(LIVE, { who: uuid, name: myName() }, { event });

function said({ data: { who = '', name, text }, time }) {
  names.set(who, name ?? names.get(who) ?? 'SQL');
  typing.delete(who);
  showTyping();
  const list = $('#said');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  const className = who === uuid ? 'mine' : '';
  list.append(element('li', { className }, element('small', {}, `${nameOf(who)} · ${clock(time)}`), text ?? ''));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function live({ event, data: { who, name } }) {
  if (names.get(who) !== name) {
    names.set(who, name);
    showMembers();
  }
  if (event !== 'typing' || who === uuid) return;
  clearTimeout(typing.get(who));
  typing.set(who, setTimeout(() => { typing.delete(who); showTyping(); }, BELIEVE_MS));
  showTyping();
}

function showTyping() {
  const list = [...typing.keys()].map(nameOf);
  $('#typing').textContent = list.length ? `${list.join(' and ')} ${list.length > 1 ? 'are' : 'is'} typing…` : '\u00a0';
}

/** A member is a connection: all tabs of a browser are one. */
async function showMembers() {
  const members = await client.presence(SAID);
  const here = [...new Set(members.map((member) => member.uuid))];
  $('#count').textContent = here.length;
  $('#here').replaceChildren(...here.map((who) =>
    element('li', {}, who === uuid ? `${myName()} (you)` : nameOf(who))));
}

$('#name').value = localStorage.demo_name ?? guest;
$('#name').addEventListener('change', () => {
  localStorage.demo_name = myName();
  tell('name');
});
$('#text').addEventListener('input', () => {
  if (Date.now() - told < TELL_MS) return;
  told = Date.now();
  tell('typing');
});
$('#write').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = $('#text').value;
  $('#text').value = '';
  told = 0;
  // Waits through an outage, and is sent once.
  await client.publish(SAID, { who: uuid, name: myName(), text }).catch((error) => say(error.message));
});

client.subscribe(LIVE, live);
again(client, SAID, showMembers);
await follow(client, SAID, said, {
  forget: () => $('#said').replaceChildren(),
  presence({ type }) {
    showMembers();
    // Who comes does not know our name.
    if (type === 'join') tell('name');
  },
});
await tell('name');
await showMembers();
