package adamem

import (
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// SlotKind is the sort of memory that a slot holds.
type SlotKind string

// The kinds; a kind that a newer server knows and this client does not is read as "unknown".
const (
	KindFact       SlotKind = "fact"
	KindMessage    SlotKind = "message"
	KindPreference SlotKind = "preference"
	KindDocument   SlotKind = "document"
	KindSummary    SlotKind = "summary"
)

// SlotInput is a slot to store. What is left out is decided by the server.
type SlotInput struct {
	// Content is the memory: the text that queries find. Required.
	Content string
	// Cue is the question that content answers.
	Cue string
	// ID is a ULID. Empty: a new one. The id of a stored slot replaces that slot as a whole.
	ID string
	// Kind is the sort of memory. Empty: a fact.
	Kind SlotKind
	// UserID is the person the memory is about.
	UserID string
	// AgentID is the agent that learned it.
	AgentID string
	// ConversationID is the conversation, run or thread that it comes from.
	ConversationID string
	// Role is who said it, such as "user" or "assistant".
	Role string
	// Tags are labels; a set, in effect.
	Tags []string
	// Metadata is a JSON object of yours: nil, bool, numbers, string, time.Time, maps and slices of them. Integers beyond
	// 2**53 are refused, since they would be rounded.
	Metadata map[string]any
	// Importance is 0 to 1. Nil: 0.5.
	Importance *float32
	// Vector is used instead of embedding content.
	Vector []float32
	// CreatedAt is when the memory was made. Zero: now.
	CreatedAt time.Time
	// ExpiresAt is when the slot stops being returned. At most one of ExpiresAt, TTL and NoExpiry is given; with none the
	// namespace's default decides.
	ExpiresAt time.Time
	// TTL is the time from now after which the slot stops being returned.
	TTL time.Duration
	// NoExpiry says that it never does.
	NoExpiry bool
	// Language of content as two letters, for its word forms. Empty: told by its letters and words.
	Language string
	// Pinned says that the slot is never archived.
	Pinned bool
}

func (c *checks) slot(slot SlotInput) *pb.SlotInput {
	m := &pb.SlotInput{
		Id:         c.text(slot.ID, "id"),
		Content:    c.text(slot.Content, "content"),
		Cue:        c.text(slot.Cue, "cue"),
		Kind:       enum[pb.SlotKind](c, slot.Kind, "SLOT_KIND_", "kind", pb.SlotKind_value),
		Role:       c.text(slot.Role, "role"),
		Tags:       c.texts(slot.Tags, "tags"),
		Metadata:   c.object(slot.Metadata, "metadata", 1),
		Importance: slot.Importance,
		Vector:     c.vector(slot.Vector),
		CreatedAt:  c.time(slot.CreatedAt, "created_at"),
		Language:   c.text(slot.Language, "language"),
		Pinned:     slot.Pinned,
	}
	if slot.UserID != "" || slot.AgentID != "" || slot.ConversationID != "" {
		m.Scope = &pb.Scope{
			UserId:         c.text(slot.UserID, "user_id"),
			AgentId:        c.text(slot.AgentID, "agent_id"),
			ConversationId: c.text(slot.ConversationID, "conversation_id"),
		}
	}
	if c.oneExpiry(slot.ExpiresAt, slot.TTL, slot.NoExpiry) {
		switch {
		case slot.NoExpiry:
			m.Expiry = &pb.SlotInput_NoExpiry{NoExpiry: true}
		case slot.TTL != 0:
			m.Expiry = &pb.SlotInput_Ttl{Ttl: durationToProto(slot.TTL)}
		case !slot.ExpiresAt.IsZero():
			m.Expiry = &pb.SlotInput_ExpiresAt{ExpiresAt: c.time(slot.ExpiresAt, "expires_at")}
		}
	}
	return m
}

func (c *checks) oneExpiry(expiresAt time.Time, ttl time.Duration, never bool) bool {
	n := 0
	for _, given := range []bool{!expiresAt.IsZero(), ttl != 0, never} {
		if given {
			n++
		}
	}
	if n > 1 {
		c.fail("ttl", "only one of ExpiresAt, TTL and NoExpiry may be given")
	}
	return n == 1
}

// Slot is one memory as stored.
type Slot struct {
	// ID is a ULID, unique in the namespace.
	ID string
	// Namespace is where the slot lives.
	Namespace string
	// Content is the memory, Cue the question that it answers.
	Content, Cue string
	// Kind is the sort of memory.
	Kind SlotKind
	// UserID, AgentID and ConversationID say whose memory this is; empty where not said.
	UserID, AgentID, ConversationID string
	// Role is who said it, or empty.
	Role string
	// Tags are labels.
	Tags []string
	// Metadata is the caller's JSON object; numbers are float64, as in encoding/json. Nil: none.
	Metadata map[string]any
	// Importance is 0 (trifle) to 1 (vital).
	Importance float32
	// CreatedAt is when the slot was first stored, or the time that the caller gave; in UTC, as all times.
	CreatedAt time.Time
	// UpdatedAt is when the slot was last changed.
	UpdatedAt time.Time
	// ExpiresAt is when the slot stops being returned. Zero: never.
	ExpiresAt time.Time
	// TTL is the time to live that it was given, by which TouchSlots renews it. Zero: none.
	TTL time.Duration
	// AccessCount is how often queries returned the slot.
	AccessCount uint64
	// AccessedAt is when a query last did. Zero: never.
	AccessedAt time.Time
	// VectorSupplied tells that a client supplied the vector, so it was not made from content.
	VectorSupplied bool
	// Vector is the embedding, where the call asked for it.
	Vector []float32
	// Language of content, as the client said, or empty.
	Language string
	// RecalledFrom is the slot that a query had returned shortly before this one, which says the same, was stored.
	RecalledFrom string
	// Validity is when this was valid, where it is not the present state: superseded, or a former version that AsOf found.
	Validity *Validity
	// ArchivedAt is when the slot was archived. Zero: it is not.
	ArchivedAt time.Time
	// Pinned tells that it is never archived.
	Pinned bool
	// Sources are the ids of the slots that a consolidation made this summary of. Empty for other slots.
	Sources []string
	// Summaries are the ids of the summaries that consolidations made of it; of GetSlot alone.
	Summaries []string
	// Absorbed are the first 100 duplicates that it absorbed; of GetSlot alone. Duplicates.Absorbed has all.
	Absorbed []AbsorbedSlot
}

// Validity is when a version of a slot was valid.
type Validity struct {
	// From is when it began, To when it ended; zero: it still is valid.
	From, To time.Time
	// SupersededBy is the id of the slot with the newer fact, or empty.
	SupersededBy string
}

func slotFromProto(m *pb.Slot) Slot {
	slot := Slot{
		ID:             m.GetId(),
		Namespace:      m.GetNamespace(),
		Content:        m.GetContent(),
		Cue:            m.GetCue(),
		Kind:           enumFrom[SlotKind](m.GetKind(), "SLOT_KIND_", pb.SlotKind_name),
		UserID:         m.GetScope().GetUserId(),
		AgentID:        m.GetScope().GetAgentId(),
		ConversationID: m.GetScope().GetConversationId(),
		Role:           m.GetRole(),
		Tags:           m.GetTags(),
		Importance:     m.GetImportance(),
		CreatedAt:      timeFromProto(m.GetCreatedAt()),
		UpdatedAt:      timeFromProto(m.GetUpdatedAt()),
		ExpiresAt:      timeFromProto(m.GetExpiresAt()),
		TTL:            durationFromProto(m.GetTtl()),
		AccessCount:    m.GetAccessCount(),
		AccessedAt:     timeFromProto(m.GetAccessedAt()),
		VectorSupplied: m.GetVectorSupplied(),
		Vector:         vectorFromProto(m.GetVector()),
		Language:       m.GetLanguage(),
		RecalledFrom:   m.GetRecalledFrom(),
		Sources:        m.GetSources(),
		ArchivedAt:     timeFromProto(m.GetArchivedAt()),
		Pinned:         m.GetPinned(),
	}
	if len(m.GetMetadata().GetFields()) > 0 {
		slot.Metadata = m.GetMetadata().AsMap()
	}
	if m.GetValidity() != nil {
		validity := validityFromProto(m.GetValidity())
		slot.Validity = &validity
	}
	return slot
}

func slotOrNil(m *pb.Slot) *Slot {
	if m == nil {
		return nil
	}
	slot := slotFromProto(m)
	return &slot
}

func validityFromProto(m *pb.Validity) Validity {
	return Validity{timeFromProto(m.GetValidFrom()), timeFromProto(m.GetValidTo()), m.GetSupersededBy()}
}
