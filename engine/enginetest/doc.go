// Package enginetest is a Docker Engine in memory, for tests: it speaks the Engine API on a unix socket. In come HTTP
// calls, out go the answers, status codes, words and events of dockerd; its containers run a small shell's commands.
// It never touches a real Engine, and of the machine only what a container bind-mounts. It knows nothing of who calls it.
//
// What it answers was compared with dockerd 20.10 (API 1.41) and with the sources of 28.5 (API 1.51); where the two
// differ, [WithAPI] decides.
package enginetest
