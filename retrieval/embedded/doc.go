// Package embedded keeps snapshots as single sealed files.
//
// A file is a row of pages, each AES-256-GCM under a key derived from the
// snapshot's data key and its binding, with the page's number and the binding
// as associated data. The last page is the footer; the SHA-256 of the sealed
// footer is the manifest digest that the firewall's registry pins. The footer
// says how many pages there are and what is where, so nothing can be cut,
// moved, exchanged or put back. An idle collection costs a file and nothing
// else.
//
// # What it refuses
//
// Errors wrap retrieval.ErrManifest for another footer than the pinned one,
// retrieval.ErrDamaged for a page that does not open, retrieval.ErrLimit for
// too much.
//
// A [Writer] is for one goroutine; a [Snapshot] and a [Store] are safe for
// concurrent use.
//
// # What it does not protect against
//
// The size of a file tells the size of its source. Deleted files remain on the
// medium until overwritten; without the data key, which the registry dropped,
// they are noise.
package embedded
