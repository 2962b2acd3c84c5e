//! What all doors need between `accept` and their own protocol: TLS, the PROXY protocol, networks.

pub mod network;
pub mod patient;
pub mod proxy;
pub mod rewound;
pub mod stream;
pub mod tls;

pub use network::Network;
pub use patient::Patient;
pub use rewound::Rewound;
pub use stream::Stream;
pub use tls::Tls;
