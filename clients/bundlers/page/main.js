// Both APIs in one page: they must share one copy of the package, and one connection.
import { connect } from 'cometql';
import { cometApi } from 'cometql/legacy';

const { server, mode } = Object.fromEntries(new URLSearchParams(location.search));
const show = (text) => document.body.append(Object.assign(document.createElement('p'), { textContent: text }));

const client = connect({ url: `http://${server}`, mode });
client.on('state', ({ status, mode, tabs }) => { document.body.dataset.state = `${status} ${mode} ${tabs}`; });
client.subscribe('web_bundle', ({ data }) => show(`new ${data}`));

cometApi.start({ node: server, mode });
cometApi.subscription('web_bundle', ({ data }) => show(`old ${data}`));
