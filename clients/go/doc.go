// Package adamem is the Go client of AdaMem, the long-term memory server of LLM agents.
//
//	client, err := adamem.New(adamem.Config{Namespace: "alice"})
//	...
//	defer client.Close()
//	_, err = client.Update(ctx, adamem.SlotInput{Content: "Ann is allergic to peanuts", UserID: "ann"})
//	found, err := client.Query(ctx, adamem.QueryRequest{Text: "What can Ann not eat?"})
//
// A client is one connection; goroutines share it. Names and rules are those of the protocol, whose comments
// (proto/adamem/v1) say more of each field; generated code is in gen/adamem/v1, for what needs it.
//
// Errors are [*Error] and match sentinels such as [ErrNotFound] or [ErrNamespaceNotFound] with errors.Is. Calls are
// repeated while the server is UNAVAILABLE, after the time that it asks for: reads, and mutations that carry a request
// id, which each gets by itself unless [WithRequestID] says otherwise. A context without a deadline gets Config.Timeout.
//
// Numbers whose zero differs from "not given" are pointers: Importance: new(float32(0.9)).
package adamem

// Version of the client.
const Version = "0.1.0"
