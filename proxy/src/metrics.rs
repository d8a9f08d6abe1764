//! Every metric of the proxy.
