// Package engine is the back end: it observes what a Docker Engine has of a project, compares that with what a
// [compose.Project] wants, and walks the resulting [Plan]. Diff is pure; Apply changes the Engine. The package must
// never read a recipe, print, log, or know of BOSH: it returns values and emits events.
package engine
