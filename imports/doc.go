// Package imports reads exported images where they lie. What comes in are .lst files, which name tarballs as `docker save`,
// podman, skopeo, crane and BuildKit write them; what goes out is what is in each tarball, what is wrong with it, and
// its images as a stream that every Engine loads. It loads nothing, opens no socket, writes nothing but its own record of
// what it read, and keeps no layer in memory, whatever a tarball holds.
package imports
