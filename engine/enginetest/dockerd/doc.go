// Package dockerd runs real Docker Engines for tests, the demo and the bench: each [Daemon] is private, with data, socket,
// bridge, addresses and namespaces of its own, so that several run side by side, next to the machine's own Engine, and
// nothing of them outlives the process that started them. It also makes images without a registry, from Debian's packages.
// The package needs root on Linux; it must never touch an Engine that it has not started.
package dockerd
