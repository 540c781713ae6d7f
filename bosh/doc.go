// Package bosh is the Go side of a machine that Galley runs on, a BOSH VM above all: where its files are, with the root
// injectable, and the lock that lets one process at a time change a project. It knows neither recipes nor the Engine.
package bosh
