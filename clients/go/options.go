package adamem

import "crypto/rand"

// NamespaceOption names the namespace of one call; made by InNamespace.
type NamespaceOption struct{ name string }

// RequestIDOption sets the request id of one call; made by WithRequestID.
type RequestIDOption struct{ id string }

// VectorOption asks for a slot's vector; made by WithVector.
type VectorOption struct{}

// GetSlotOption is a NamespaceOption or a VectorOption.
type GetSlotOption interface{ applyGet(*scope) }

// WriteOption is a NamespaceOption or a RequestIDOption.
type WriteOption interface{ apply(*scope) }

// InNamespace names the namespace of a call, in place of Config.Namespace. Empty: the server's default namespace.
func InNamespace(name string) NamespaceOption { return NamespaceOption{name} }

// WithRequestID makes a mutation idempotent for 24 hours under an id of the caller, at most 128 bytes: sent again with
// the same content it is not carried out again and gets the same answer. Without this option each mutation gets a random
// id, by which it can be repeated safely. Empty: none, and the call is never repeated.
func WithRequestID(id string) RequestIDOption { return RequestIDOption{id} }

// WithVector returns the slot's vector too.
func WithVector() VectorOption { return VectorOption{} }

func (option NamespaceOption) applyGet(s *scope) { s.namespace = option.name }
func (VectorOption) applyGet(s *scope)           { s.vector = true }

func (option NamespaceOption) apply(s *scope) { s.namespace = option.name }
func (option RequestIDOption) apply(s *scope) { s.requestID, s.identified = option.id, true }

// scope is what the options of a call say.
type scope struct {
	namespace  string
	requestID  string
	identified bool
	vector     bool
}

func (c *Client) reading(options []NamespaceOption) string {
	s := scope{namespace: c.namespace}
	for _, option := range options {
		option.apply(&s)
	}
	return s.namespace
}

func (c *Client) writing(options []WriteOption) scope {
	s := scope{namespace: c.namespace}
	for _, option := range options {
		option.apply(&s)
	}
	if !s.identified {
		s.requestID = rand.Text()
	}
	return s
}

func requestID(options []RequestIDOption) string {
	s := scope{requestID: rand.Text()}
	for _, option := range options {
		option.apply(&s)
	}
	return s.requestID
}
