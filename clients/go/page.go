package adamem

import (
	"iter"
	"math"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	// NextPageToken fetches the next page. Empty: this was the last one.
	NextPageToken string
}

// PageOptions say which part of a list is read.
type PageOptions struct {
	// Size is the most items of a page, up to 1000. Zero: 100.
	Size int
	// Token is NextPageToken of the page before; what else is asked for stays the same. Empty: the first page. An
	// iterator begins there.
	Token string
}

// size is what the protocol holds; the server takes more than 1000 as 1000, and refuses what is negative.
func (p PageOptions) size() int32 { return int32(max(math.MinInt32, min(p.Size, math.MaxInt32))) }

// pages are all items, fetched page by page as they are asked for. An error is the last thing yielded.
func pages[T any](from PageOptions, fetch func(PageOptions) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		part := from
		for {
			page, err := fetch(part)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if part.Token = page.NextPageToken; part.Token == "" {
				return
			}
		}
	}
}
