// Package miniagent holds the tests of the BOSH release: its templates are rendered as the director does, and its jobs live
// on make-believe VMs, where a small agent drives them in the order of BOSH's own.
package miniagent
