package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
)

// object is a JSON object that is being built.
type object = map[string]any

// openAPIOnce returns a function that describes operations as OpenAPI 3.0 JSON, made
// when it is first wanted. It is built from the table and from the Go types, so it
// cannot differ from what the daemon does.
func openAPIOnce(operations []daemon.Operation) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) { return json.Marshal(describe(operations)) })
}

// describe is the handler of GET /v1/openapi.json.
func (h *Handler) describe(w http.ResponseWriter) {
	data, err := h.openAPI()
	if err != nil {
		fail(w, daemon.ErrorOf(err))
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

func describe(operations []daemon.Operation) object {
	s := schemas{components: object{}}
	problem := object{"description": "what went wrong", "content": content(typeJSON, s.wrapped("error", api.Error{}))}
	paths := object{}
	for _, op := range operations {
		paths["/v1/"+op.Name] = object{"post": operation(&s, op, problem)}
	}
	paths["/v1/prompts/{id}"] = prompting(problem)
	paths["/v1/prompts"] = object{"get": object{
		"operationId": "prompts",
		"summary":     "Be an agent: follow the prompts of your user's operations, one JSON value a line, and answer those you are asked",
		"parameters": []object{
			{
				"name": "name", "in": "query", "required": true, "description": "the agent's name in the daemon's order of preference",
				"schema": object{"type": "string", "maxLength": 32},
			},
			{
				"name": "kinds", "in": "query", "style": "form", "explode": false, "description": "the kinds of prompts that the agent takes; all without it",
				"schema": object{"type": "array", "items": object{"type": "string", "enum": api.PromptKinds()}},
			},
		},
		"responses": object{
			"200":     object{"description": "a stream of prompts and withdrawals", "content": content(typeNDJSON, s.of(api.Line{}, false))},
			"default": problem,
		},
	}}
	paths["/v1/events"] = object{"get": object{
		"operationId": "events", "summary": "Follow what changes, one JSON value a line",
		"responses": object{
			"200":     object{"description": "a stream of events", "content": content(typeNDJSON, s.of(api.Event{}, false))},
			"default": problem,
		},
	}}
	paths["/v1/lease-reports"] = object{"post": object{
		"operationId": "lease-reports",
		"summary":     "Take a lease as a file descriptor, a socket of type SEQPACKET whose packets are reports of CTAPHID; it comes with the answer by SCM_RIGHTS",
		"requestBody": object{"required": true, "content": content(typeJSON, s.of(api.LeaseReportsRequest{}, true))},
		"responses": object{
			"200":     object{"description": "handed over; the connection is then closed"},
			"default": problem,
		},
	}}
	paths["/metrics"] = object{"get": object{
		"operationId": "metrics", "summary": "Counts of what the daemon does, for Prometheus",
		"responses": object{
			"200":     object{"description": "counts, in Prometheus' text form", "content": content("text/plain", object{"type": "string"})},
			"default": problem,
		},
	}}
	paths["/v1/jwks"] = object{"get": object{
		"operationId": "jwks", "summary": "The keys that statements about people are signed with (RFC 7517)",
		"responses": object{
			"200":     object{"description": "a JWK Set", "content": content(typeJSON, s.of(api.StatementKeysResult{}, false))},
			"default": problem,
		},
	}}
	paths["/v1/openapi.json"] = object{"get": object{
		"operationId": "openapi", "summary": "Describe this interface",
		"responses": object{
			"200":     object{"description": "this document", "content": content(typeJSON, object{"type": "object"})},
			"default": problem,
		},
	}}
	return object{
		"openapi": "3.0.3",
		"info": object{
			"title": "fobd", "version": api.Version,
			"description": "Security keys, shared among the programs of a machine. HTTP over a Unix socket; " +
				"the caller is known from the socket, so there is no login. Streamed operations " +
				"(" + typeNDJSON + ") send prompts, then exactly one result or error line.",
			"license": object{"name": "Apache-2.0"},
		},
		"servers":    []object{{"url": "http://fobd", "description": "the socket: $XDG_RUNTIME_DIR/fobd/fobd.sock or /run/fobd/fobd.sock"}},
		"security":   []object{},
		"paths":      paths,
		"components": object{"schemas": s.components},
	}
}

func operation(s *schemas, op daemon.Operation, problem object) object {
	return object{
		"operationId": op.Name,
		"summary":     op.Summary,
		"x-scope":     string(op.Scope), "x-interactive": op.Interactive,
		"requestBody": object{"content": content(typeJSON, s.of(op.Request, true))},
		"responses": object{
			"200": object{
				"description": "done",
				"content": object{
					typeJSON:   object{"schema": s.of(op.Result, false)},
					typeNDJSON: object{"schema": s.of(api.Line{}, false)},
				},
			},
			"default": problem,
		},
	}
}

func prompting(problem object) object {
	done := object{"200": object{"description": "taken"}, "default": problem}
	return object{
		"parameters": []object{{
			"name": "id", "in": "path", "required": true, "description": "the id of a prompt",
			"schema": object{"type": "string"},
		}},
		"post": object{
			"operationId": "answer", "summary": "Answer a prompt",
			"requestBody": object{"required": true, "content": object{
				"application/octet-stream": object{"schema": object{
					"type": "string", "format": "binary", "maxLength": maxAnswer, "description": "a PIN, as it is",
				}},
				typeJSON: object{"schema": object{"oneOf": []object{
					{"type": "integer", "minimum": 0, "description": "the index of a choice"},
					{"type": "boolean", "description": "yes or no"},
				}}},
			}},
			"responses": done,
		},
		"delete": object{"operationId": "give-up", "summary": "Say that the person gives up", "responses": done},
	}
}

func content(mediaType string, schema any) object {
	return object{mediaType: object{"schema": schema}}
}

// codes lists the codes of errors.
func codes() []string {
	var all []string
	for c := range statuses {
		all = append(all, string(c))
	}
	slices.Sort(all)
	return all
}
