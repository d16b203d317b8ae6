// Package stack starts and keeps the service's processes: customer cloud,
// identity firewall, front end. All are the same binary, re-executed.
//
// Descriptors are how they find each other. The firewall has no path and no
// port: the supervisor makes socket pairs, hands one end to the firewall over
// the pair that it was born with, and the other to the front end. Listening
// sockets are the supervisor's too, so that a process that is killed comes
// back on the same port. Every child ends when the supervisor does, because
// its lifeline reaches end of file.
//
// What it does not protect against: the supervisor and its children run as one
// user; whoever is that user can read their files and memory. Run the
// firewall as another user for that.
package stack
