//! All programs of a cluster on this machine: NATS servers, nodes and, where it is installed, HAProxy.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::balancer::{Addresses, Balancer};
use super::certificates::Certificates;
use super::links::Link;
use super::nats::{self, NatsServer};
use super::node::{self, Node};
use super::ports::quiet_ports;

/// What nodes are called.
const NAMES: &[&str] = &["one", "two", "three", "four", "five", "six", "seven"];

/// What is wanted.
pub(crate) struct Plan<'a> {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// How many NATS servers: 1, 3 or 5.
    pub(crate) nats: usize,
    /// The nodes' program.
    pub(crate) binary: &'a Path,
    /// Where everything is written to.
    pub(crate) folder: &'a Path,
    /// What else stands in the nodes' configuration: other sections.
    pub(crate) more: &'a str,
    /// Pages that nodes serve.
    pub(crate) files: Option<&'a Path>,
    /// TLS to NATS, between its servers, and for browsers.
    pub(crate) tls: bool,
    /// Whether what speaks to NATS does so over links that can be cut.
    pub(crate) links: bool,
    /// Where HAProxy takes browsers and backends; `None` = free ports.
    pub(crate) front: Option<[SocketAddr; 2]>,
    /// Whether there is a HAProxy.
    pub(crate) balancer: bool,
}

/// A cluster that runs.
pub(crate) struct World {
    // Ended in this order.
    /// HAProxy.
    pub(crate) balancer: Option<Balancer>,
    /// Nodes.
    pub(crate) nodes: Vec<Node>,
    /// NATS servers.
    pub(crate) nats: Vec<NatsServer>,
    /// Where NATS servers take clients.
    pub(crate) nats_clients: Vec<SocketAddr>,
    /// By node and NATS server: the way to it. None without links.
    pub(crate) to_nats: Vec<Vec<Link>>,
    /// By NATS server and NATS server: the way to the other. None without links.
    pub(crate) between: Vec<Vec<Link>>,
}

impl World {
    /// Starts everything and waits until it is well.
    pub(crate) fn start(plan: &Plan<'_>) -> anyhow::Result<Self> {
        let mut world = Self::new(plan)?;
        world.run()?;
        Ok(world)
    }

    /// Starts what was only prepared.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        for server in &mut self.nats {
            server.spawn()?;
        }
        for server in &mut self.nats {
            server.wait()?;
        }
        for node in &mut self.nodes {
            node.spawn()?;
        }
        self.wait()?;
        match &mut self.balancer {
            Some(balancer) => balancer.start(),
            None => Ok(()),
        }
    }

    /// Waits until NATS servers and nodes are well.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        for (at, server) in self.nats.iter_mut().enumerate() {
            let wait = server.wait();
            wait.with_context(|| format!("NATS server {}", at + 1))?;
        }
        for node in &mut self.nodes {
            node.wait().with_context(|| node.name.clone())?;
        }
        Ok(())
    }

    /// The links between a NATS server and the others, in both directions.
    pub(crate) fn links_of(&self, server: usize) -> impl Iterator<Item = &Link> {
        let own = self.between[server].iter();
        let others = (0..self.nats.len()).filter(move |other| *other != server);
        // A server's list leaves itself out.
        let at = move |other: usize| if server < other { server } else { server - 1 };
        own.chain(others.map(move |other| &self.between[other][at(other)]))
    }

    /// Prepares everything and starts nothing.
    pub(crate) fn new(plan: &Plan<'_>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(plan.folder)?;
        let certificates = match plan.tls {
            true => Some(Certificates::make(plan.folder)?),
            false => None,
        };
        let mut ports = quiet_ports(plan.nats * 3 + plan.nodes * 3 + 6)?.into_iter();
        let mut port = || ports.next().expect("so many were asked for");
        let mut places = |count: usize| -> Vec<[SocketAddr; 3]> {
            (0..count).map(|_| [port(), port(), port()]).collect()
        };
        let (servers, nodes) = (places(plan.nats), places(plan.nodes));
        let (front, spare) = (places(1)[0], places(1)[0]);
        let mut world = Self {
            balancer: None,
            nodes: Vec::new(),
            nats: Vec::new(),
            nats_clients: servers.iter().map(|[client, _, _]| *client).collect(),
            to_nats: Vec::new(),
            between: Vec::new(),
        };
        world.place_nats(plan, &servers, certificates.as_ref())?;
        world.place_nodes(plan, &nodes, certificates.as_ref())?;
        if plan.balancer {
            let [browsers, sql] = plan.front.unwrap_or([front[0], front[1]]);
            let certificate = certificates.map(|files| files.in_one_file(plan.folder));
            let nodes = world.nodes.iter();
            let addresses = Addresses {
                browsers,
                plain: if plan.tls { spare[0] } else { browsers },
                sql,
                overview: front[2],
                nodes: nodes.map(|n| (n.name.clone(), n.http, n.mysql)).collect(),
                certificate: certificate.transpose()?,
            };
            world.balancer = Some(Balancer::new(plan.folder, addresses)?);
        }
        Ok(world)
    }

    fn place_nats(
        &mut self,
        plan: &Plan<'_>,
        servers: &[[SocketAddr; 3]],
        certificates: Option<&Certificates>,
    ) -> anyhow::Result<()> {
        let routes: Vec<SocketAddr> = servers.iter().map(|[_, route, _]| *route).collect();
        for (number, [client, route, health]) in servers.iter().enumerate() {
            let mut others = routes.clone();
            others.remove(number);
            if plan.links {
                let links = links(&others)?;
                others = links.iter().map(|link| link.address).collect();
                self.between.push(links);
            }
            let place = nats::Place {
                number,
                client: *client,
                route: *route,
                health: *health,
                others: &others,
                folder: plan.folder,
                store: &nats_store(plan.folder, number),
                certificates,
            };
            self.nats.push(NatsServer::new(&place)?);
        }
        Ok(())
    }

    fn place_nodes(
        &mut self,
        plan: &Plan<'_>,
        nodes: &[[SocketAddr; 3]],
        certificates: Option<&Certificates>,
    ) -> anyhow::Result<()> {
        for (number, addresses) in nodes.iter().enumerate() {
            let name = NAMES.get(number).context("so many nodes have no names")?;
            let mut nats = self.nats_clients.clone();
            if plan.links {
                let links = links(&nats)?;
                nats = links.iter().map(|link| link.address).collect();
                self.to_nats.push(links);
            }
            // Each begins with another one.
            let first = number % nats.len();
            nats.rotate_left(first);
            let place = node::Place {
                name,
                addresses: *addresses,
                nats: &nats,
                replicas: plan.nats,
                folder: &plan.folder.join(name),
                binary: plan.binary,
                more: plan.more,
                files: plan.files,
                certificates,
            };
            self.nodes.push(Node::new(&place)?);
        }
        Ok(())
    }

    /// Stops everything in good order: nodes first, so that what they say last is heard.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let mut ended = Ok(());
        for node in &mut self.nodes {
            ended = ended.and(node.program().stop());
        }
        if let Some(balancer) = &mut self.balancer {
            ended = ended.and(balancer.program().stop());
        }
        for server in &mut self.nats {
            ended = ended.and(server.program().stop());
        }
        ended
    }
}

/// Where a NATS server keeps its streams.
pub(crate) fn nats_store(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("nats-{}", number + 1))
}

fn links(targets: &[SocketAddr]) -> anyhow::Result<Vec<Link>> {
    let link = |target: &SocketAddr| Link::to(*target, TcpListener::bind("127.0.0.1:0")?);
    targets.iter().map(link).collect()
}
