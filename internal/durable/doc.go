// Package durable writes and removes small files that a power cut leaves either
// as they were or as they were to be. [os.WriteFile] leaves an empty or half a
// file when it is cut off, and a rename, a removal or a new directory may be
// undone by the cut. After an error of the last sync the change is made and may
// be undone: make it again.
//
// The bytes go to a temporary file beside the target, whose name ends in .tmp,
// which is synced and takes the target's place; then the directory is synced. A
// process that is killed in between leaves the temporary file behind, and
// nothing reads it. File systems that cannot sync a directory are believed to
// need no such sync.
//
// It does not lock, and does not keep the owner, the links or the attributes of
// what it replaces.
package durable
