// Package imports reads exported images where they lie. What comes in are .lst files, which name tarballs as `docker save`,
// podman, skopeo, crane and BuildKit write them; what goes out is what is in each tarball, and what is wrong with it. It
// loads nothing, writes nothing, opens no socket, and keeps no layer in memory, whatever a tarball holds.
package imports
