'use client';

import { connect } from 'cometql';
import { useClient, useConnection, useSubscription } from 'cometql/react';
import { useState } from 'react';

function start() {
  const { server, mode } = Object.fromEntries(new URLSearchParams(location.search));
  return connect({ url: `http://${server}`, mode });
}

export function News() {
  const client = useClient(start);
  const [lines, setLines] = useState([]);
  useSubscription(client, 'web_bundle', ({ data }) => setLines((before) => [...before, data]));
  const state = useConnection(client);
  return (
    <main data-state={state ? `${state.status} ${state.mode} ${state.tabs}` : 'none'}>
      {lines.map((line, at) => <p key={at}>new {line}</p>)}
    </main>
  );
}
