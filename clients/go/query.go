package adamem

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// QueryMode is how slots are found.
type QueryMode string

// By meaning and words together, by meaning alone, by words alone.
const (
	ModeHybrid  QueryMode = "hybrid"
	ModeDense   QueryMode = "dense"
	ModeLexical QueryMode = "lexical"
)

// Ranking are weights of hybrid ranking by name, such as {"recency": 1}; Ranking in the protocol describes them.
type Ranking map[string]float32

// QueryRequest asks for the slots that matter most for a text or a vector.
type QueryRequest struct {
	// Text is the question, in words. Exactly one of Text and Vector is given.
	Text string
	// Vector is compared with the slots' vectors as it is.
	Vector []float32
	// TopK is the number of hits wanted, over all namespaces. Zero: 4.
	TopK int
	// Namespaces to search together. Nil: InNamespace, else the client's.
	Namespaces []string
	// Filter is a condition that every hit meets. Empty: none.
	Filter Filter
	// MinScore drops hits of a lower score. Nil: none.
	MinScore *float32
	// IncludeVectors returns the slots' vectors too.
	IncludeVectors bool
	// EfSearch is how many candidates the graph search keeps; more is slower and finds more. Zero: the namespace's.
	EfSearch int
	// Mode is how slots are found. Empty: hybrid for a text, dense for a vector.
	Mode QueryMode
	// Language of Text as two letters, for its word forms. Empty: told by its letters and words.
	Language string
	// Ranking overrides weights of the namespace's hybrid ranking.
	Ranking Ranking
	// Diversity is how much hits shall differ from each other, 0 to 1. Nil: not at all.
	Diversity *float32
	// AskedAt is the time that "yesterday" in Text is relative to. Zero: now.
	AskedAt time.Time
	// UseAdapter says whether Text passes through what the namespace has learned. Nil: as the namespace says.
	UseAdapter *bool
	// Rerank is how many of the best hits the server's cross-encoder reads, at some milliseconds each. Zero: none.
	Rerank int
	// AsOf answers from what was valid at this time, changed or superseded since or not. Zero: now.
	AsOf time.Time
	// IncludeArchived finds archived slots too. They are read and scanned, some 0.1 ms each, at most 10,000 of each namespace,
	// those stored last.
	IncludeArchived bool
}

// QueryResult holds the hits.
type QueryResult struct {
	// Hits are at most TopK, best first.
	Hits []Hit
	// Timings say where the server's time went.
	Timings QueryTimings
	// Confidence is the chance, 0 to 1, that something relevant was found. Nil: not known; the query was not hybrid.
	Confidence *float32
	// SkippedStages name what the deadline left no time for: "dense", "lexical", "context", "rerank", "diversity"; or
	// "former" and "archived", of which there were too many for AsOf and IncludeArchived.
	SkippedStages []string
	// AdapterVersion is the adapter that the text passed through, of several namespaces the first one's. Zero: none.
	AdapterVersion int
}

// Hit is a slot found by a query; a larger score is better.
type Hit struct {
	Slot Slot
	// Score is of a hybrid query the sum of ScoreParts, about -2 to 12; of a lexical one BM25; of a dense one the similarity.
	Score float32
	// ScoreParts say what the score is the sum of; of hybrid queries, zeros left out.
	ScoreParts map[string]float32
	// DenseScore is the similarity of the vectors. Nil: not asked.
	DenseScore *float32
	// LexicalScore is BM25 of the slot's words. Nil: not asked.
	LexicalScore *float32
}

// QueryTimings are wall times inside the server.
type QueryTimings struct {
	Embed, Search, Total time.Duration
}

// Query finds the slots that matter most for a text or a vector.
func (c *Client) Query(ctx context.Context, query QueryRequest, options ...NamespaceOption) (QueryResult, error) {
	request, err := c.queryRequest(query, options)
	if err != nil {
		return QueryResult{}, err
	}
	response, err := read(ctx, c, c.memory.Query, request)
	if err != nil {
		return QueryResult{}, err
	}
	return queryResultFromProto(response), nil
}

func (c *Client) queryRequest(query QueryRequest, options []NamespaceOption) (*pb.QueryRequest, error) {
	var check checks
	request := &pb.QueryRequest{
		Namespaces:      query.Namespaces,
		TopK:            check.optional(query.TopK, "top_k"),
		Filter:          check.filter(query.Filter),
		MinScore:        query.MinScore,
		IncludeVectors:  query.IncludeVectors,
		EfSearch:        check.optional(query.EfSearch, "ef_search"),
		Mode:            enum[pb.QueryMode](&check, query.Mode, "QUERY_MODE_", "mode", pb.QueryMode_value),
		Language:        query.Language,
		Diversity:       query.Diversity,
		AskedAt:         check.time(query.AskedAt, "asked_at"),
		UseAdapter:      query.UseAdapter,
		Rerank:          check.uint32(query.Rerank, "rerank"),
		AsOf:            check.time(query.AsOf, "as_of"),
		IncludeArchived: query.IncludeArchived,
	}
	if len(query.Ranking) > 0 {
		request.Ranking = check.ranking(query.Ranking)
	}
	switch {
	case query.Namespaces != nil && len(options) > 0:
		check.fail("namespaces", "only one of Namespaces and InNamespace may be given")
	case query.Namespaces != nil && len(query.Namespaces) == 0:
		check.fail("namespaces", "the list holds no name; nil means the client's own namespace")
	case query.Namespaces == nil:
		if name := c.reading(options); name != "" {
			request.Namespaces = []string{name}
		}
	}
	switch {
	case (query.Text == "") == (query.Vector == nil):
		check.fail("text", "exactly one of Text and Vector is expected")
	case query.Vector != nil:
		request.Query = &pb.QueryRequest_Vector{Vector: check.vector(query.Vector)}
	default:
		request.Query = &pb.QueryRequest_Text{Text: query.Text}
	}
	return request, check.err
}

func queryResultFromProto(m *pb.QueryResponse) QueryResult {
	timings := m.GetTimings()
	return QueryResult{
		Hits: mapped(m.GetHits(), hitFromProto),
		Timings: QueryTimings{
			Embed:  durationFromProto(timings.GetEmbed()),
			Search: durationFromProto(timings.GetSearch()),
			Total:  durationFromProto(timings.GetTotal()),
		},
		Confidence:     m.Confidence,
		SkippedStages:  m.GetSkippedStages(),
		AdapterVersion: int(m.GetAdapterVersion()),
	}
}

func hitFromProto(m *pb.Hit) Hit {
	return Hit{
		Slot:         slotFromProto(m.GetSlot()),
		Score:        m.GetScore(),
		ScoreParts:   m.GetScoreParts(),
		DenseScore:   m.DenseScore,
		LexicalScore: m.LexicalScore,
	}
}

// rankingWeights are the fields of the protocol's Ranking by name.
var rankingWeights = map[string]func(*pb.Ranking) **float32{
	"dense":             func(m *pb.Ranking) **float32 { return &m.Dense },
	"neighbours":        func(m *pb.Ranking) **float32 { return &m.Neighbours },
	"answer":            func(m *pb.Ranking) **float32 { return &m.Answer },
	"session":           func(m *pb.Ranking) **float32 { return &m.Session },
	"session_gap_hours": func(m *pb.Ranking) **float32 { return &m.SessionGapHours },
	"speaker":           func(m *pb.Ranking) **float32 { return &m.Speaker },
	"question":          func(m *pb.Ranking) **float32 { return &m.Question },
	"recency":           func(m *pb.Ranking) **float32 { return &m.Recency },
	"half_life_days":    func(m *pb.Ranking) **float32 { return &m.HalfLifeDays },
	"importance":        func(m *pb.Ranking) **float32 { return &m.Importance },
	"time":              func(m *pb.Ranking) **float32 { return &m.Time },
	"rerank":            func(m *pb.Ranking) **float32 { return &m.Rerank },
}

func (c *checks) ranking(weights Ranking) *pb.Ranking {
	m := &pb.Ranking{}
	for name, weight := range weights {
		field, known := rankingWeights[name]
		if !known {
			var names []string
			for each := range rankingWeights {
				names = append(names, each)
			}
			sort.Strings(names)
			c.fail("ranking", fmt.Sprintf("%q is no weight; there are %s", name, strings.Join(names, ", ")))
			continue
		}
		*field(m) = &weight
	}
	return m
}

func rankingFromProto(m *pb.Ranking) Ranking {
	weights := Ranking{}
	if m == nil {
		return weights
	}
	for name, field := range rankingWeights {
		if weight := *field(m); weight != nil {
			weights[name] = *weight
		}
	}
	return weights
}
