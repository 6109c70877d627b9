package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/adamem/adamem/clients/go"
	"github.com/adamem/adamem/clients/go/internal/testserver"
)

func TestTheAgentAnswersFromMemory(t *testing.T) {
	if testserver.Python() == "" {
		t.Skip("there is no server here")
	}
	server, err := testserver.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	client, err := adamem.New(adamem.Config{Endpoint: server.Address(), Namespace: "agent"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	said := "What is the code?\nThe gate code is 4711\nMy dentist is in Elm Street\nWhat is the code of the gate?\nyes\n\n"
	var out bytes.Buffer
	if err := (&agent{client: client, user: "ann"}).talk(t.Context(), strings.NewReader(said), &out); err != nil {
		t.Fatal(err)
	}
	want := "> I do not know.\n> I will remember that.\n> I will remember that.\n> You told me: The gate code is 4711\n" +
		"> Thank you, I will learn from that.\n> Tell me something, or ask.\n> \n"
	if out.String() != want {
		t.Fatalf("%q", out.String())
	}
	status, err := client.GetAdapter(t.Context())
	if err != nil || status.NPairs != 1 {
		t.Fatalf("%+v %v", status, err)
	}
}
