// Package strictjson reads JSON that decides something: nobody else may read
// another document in the same bytes. encoding/json takes the last of two
// members, a member in another case for the one of that name, what is not UTF-8
// for U+FFFD, and passes over members that it does not know.
//
// It holds the whole text in memory and does not bound its size: the caller
// does. What stands in a [encoding/json.RawMessage], or in a type that decodes
// itself, is that type's to check, apart from members that are there twice.
//
//	ErrText         not one JSON object of UTF-8 text, every member once
//	UnknownMember   a member that the value does not have, to the letter
//	ErrValue        a member's value that is not of its kind
package strictjson
