package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
)

// statusCancelled is what proxies and logs commonly use for a request that its own
// side gave up; RFC 9110 has no number for it.
const statusCancelled = 499

// statuses gives the HTTP status of each code. Programs go by the code; the status is
// for tools that know no more.
var statuses = map[api.Code]int{
	api.CodeInvalidRequest:     http.StatusBadRequest,
	api.CodeUnknownOperation:   http.StatusNotFound,
	api.CodeTooLarge:           http.StatusRequestEntityTooLarge,
	api.CodeDenied:             http.StatusForbidden,
	api.CodeNotFound:           http.StatusNotFound,
	api.CodeConflict:           http.StatusConflict,
	api.CodeNoKey:              http.StatusNotFound,
	api.CodeKeyGone:            http.StatusGone,
	api.CodeKeySilent:          http.StatusGatewayTimeout,
	api.CodeKeyError:           http.StatusBadGateway,
	api.CodeTooMany:            http.StatusTooManyRequests,
	api.CodeBusy:               http.StatusLocked,
	api.CodeCancelled:          statusCancelled,
	api.CodeTimeout:            http.StatusGatewayTimeout,
	api.CodePINRequired:        http.StatusPreconditionRequired,
	api.CodePINInvalid:         http.StatusForbidden,
	api.CodePINBlocked:         http.StatusForbidden,
	api.CodePINAuthBlocked:     http.StatusForbidden,
	api.CodePINNotSet:          http.StatusConflict,
	api.CodePINAlreadySet:      http.StatusConflict,
	api.CodePINPolicy:          http.StatusUnprocessableEntity,
	api.CodePINLastRetry:       http.StatusPreconditionRequired,
	api.CodeUVInvalid:          http.StatusForbidden,
	api.CodeUVBlocked:          http.StatusForbidden,
	api.CodeNoCredentials:      http.StatusNotFound,
	api.CodeCredentialExcluded: http.StatusConflict,
	api.CodeUnsupported:        http.StatusUnprocessableEntity,
	api.CodeKeyFull:            http.StatusInsufficientStorage,
	api.CodeFingerprintsFull:   http.StatusInsufficientStorage,
	api.CodeBlobsFull:          http.StatusInsufficientStorage,
	api.CodeVerifyFailed:       http.StatusUnprocessableEntity,
	api.CodeResetTooLate:       http.StatusConflict,
	api.CodeShuttingDown:       http.StatusServiceUnavailable,
	api.CodeInternal:           http.StatusInternalServerError,
}

// Status returns the HTTP status that goes with a code; 500 for one it does not know.
func Status(c api.Code) int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// fail sends an error with the status of its code.
func fail(w http.ResponseWriter, e *api.Error) { failWith(w, Status(e.Code), e) }

// failWith is for the few failures for which HTTP has a status of its own.
func failWith(w http.ResponseWriter, status int, e *api.Error) {
	send(w, status, struct {
		Error *api.Error `json:"error"`
	}{e})
}

// send answers with one JSON value.
func send(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		data = []byte(`{"error":{"code":"internal","message":"the answer has no JSON form"}}`)
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// quote shows something from a request in a message.
func quote(s string) string { return frontend.Quote(s) }
