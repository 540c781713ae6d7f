// Package compose is the front end: it takes recipes (Compose files, directories,
// standard input, BOSH manifests) and gives a [Project] of finished Engine API
// payloads, with every finding as a [Diagnostic] that points to file, line and
// column. It reads files only: it must never open a socket, print, or log.
package compose
