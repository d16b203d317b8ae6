package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/cloisterdev/cloister/tenant"
)

// Error is what a caller may see: an AWS-shaped code, a fixed message, a
// status. It never carries a value that the caller sent.
type Error struct {
	Code    string
	Message string
	Status  int
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

var (
	// ErrDenied answers a foreign, a missing and a not permitted customization
	// alike, and every refused signature.
	ErrDenied = &Error{"AccessDeniedException", "You are not authorized to perform this operation.", http.StatusForbidden}
	// ErrValidation answers a body that the operation does not accept.
	ErrValidation = &Error{"ValidationException", "The request is not valid.", http.StatusBadRequest}
	// ErrConflict answers an operation that the state does not allow.
	ErrConflict = &Error{"ConflictException", "The customization is not in a state that allows this.", http.StatusConflict}
	// ErrThrottled answers a caller who must wait.
	ErrThrottled = &Error{"ThrottlingException", "Slow down and try again.", http.StatusTooManyRequests}
	// ErrInternal answers everything else.
	ErrInternal = &Error{"InternalServerException", "An internal error occurred.", http.StatusInternalServerError}
	// ErrUnknownOperation answers a path that is not in the table.
	ErrUnknownOperation = &Error{"UnknownOperationException", "No such operation.", http.StatusNotFound}
)

// Invalid is a validation error with a fixed text that says how to mend it.
func Invalid(message string) *Error {
	return &Error{"ValidationException", message, http.StatusBadRequest}
}

func writeError(w http.ResponseWriter, req tenant.RequestID, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = ErrInternal
	}
	writeJSON(w, req, e.Status, e.Code, map[string]string{"message": e.Message})
}

func writeJSON(w http.ResponseWriter, req tenant.RequestID, status int, errorType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, errorType, b = http.StatusInternalServerError, ErrInternal.Code, []byte(`{"message":"An internal error occurred."}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Requestid", req.String())
	h.Set("X-Content-Type-Options", "nosniff")
	if errorType != "" {
		h.Set("X-Amzn-Errortype", errorType)
	}
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
