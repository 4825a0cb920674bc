"""Calls of the API, tag billing. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from ocs import bank_desk as ocs_bank_desk
from ocs.api import automatic_top_ups, bank, billing_views, collections, feeds
from ocs.billing.invoices import bill_runs as ocs_billing_invoices_bill_runs
from ocs.billing.invoices import customers as ocs_billing_invoices_customers
from ocs.billing.invoices import notes as ocs_billing_invoices_notes
from ocs.client.transport import Transport, new_key, segment
from ocs.feeds import queue as ocs_feeds_queue


class BillingCalls(Transport):
    """What the API has under the tag billing."""

    def create_customer(self, data: ocs_billing_invoices_customers.Customer) -> ocs_billing_invoices_customers.Customer:
        """Bill a customer from now on. His accounts have to be there; the first one pays."""
        answer: ocs_billing_invoices_customers.Customer = self._call(
            "POST", "/v1/customers", ocs_billing_invoices_customers.Customer, content=data
        )
        return answer

    def list_customers(self, *, limit: int = 100, cursor: str = "") -> billing_views.CustomerList:
        """Customers by their ids."""
        answer: billing_views.CustomerList = self._call(
            "GET", "/v1/customers", billing_views.CustomerList, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def read_customer(self, customer_id: str) -> ocs_billing_invoices_customers.Customer:
        """One customer."""
        answer: ocs_billing_invoices_customers.Customer = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}", ocs_billing_invoices_customers.Customer
        )
        return answer

    def list_charges(self, customer_id: str) -> list[billing_views.ChargeView]:
        """What the customer is charged beside usage."""
        answer: list[billing_views.ChargeView] = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}/charges", list[billing_views.ChargeView]
        )
        return answer

    def create_charge(self, customer_id: str, data: billing_views.NewCharge) -> billing_views.ChargeView:
        """Agree on a fee or a discount. The same charge_id again is refused: its charge is there."""
        answer: billing_views.ChargeView = self._call(
            "POST", f"/v1/customers/{segment(customer_id)}/charges", billing_views.ChargeView, content=data
        )
        return answer

    def end_charge(self, customer_id: str, charge_id: str, data: billing_views.ChargeEnd) -> None:
        """Let a charge end; what was billed in advance for later days comes back with the next invoice."""
        answer: None = self._call(
            "POST", f"/v1/customers/{segment(customer_id)}/charges/{segment(charge_id)}/end", None, content=data
        )
        return answer

    def list_notes(self, customer_id: str) -> list[ocs_billing_invoices_notes.Note]:
        """What is noted about the customer, the newest first, without the documents."""
        answer: list[ocs_billing_invoices_notes.Note] = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}/notes", list[ocs_billing_invoices_notes.Note]
        )
        return answer

    def create_note(self, customer_id: str, data: billing_views.NewNote) -> billing_views.NoteView:
        """Note something. Notes stay; documents go with them by `ocs customer note`."""
        answer: billing_views.NoteView = self._call(
            "POST", f"/v1/customers/{segment(customer_id)}/notes", billing_views.NoteView, content=data
        )
        return answer

    def preview_invoice(self, customer_id: str, *, until: dt.date | None = None) -> billing_views.PreviewView:
        """The customer's next invoice as it would be. Nothing is written."""
        answer: billing_views.PreviewView = self._call(
            "GET",
            f"/v1/customers/{segment(customer_id)}/invoice-preview",
            billing_views.PreviewView,
            query={"until": until},
        )
        return answer

    def list_invoices(
        self, *, limit: int = 100, cursor: str = "", customer_id: str = "", in_state: str = "", unreviewed: bool = False
    ) -> billing_views.InvoiceList:
        """Invoices and credit notes, without their lines."""
        answer: billing_views.InvoiceList = self._call(
            "GET",
            "/v1/invoices",
            billing_views.InvoiceList,
            query={
                "limit": limit,
                "cursor": cursor,
                "customer_id": customer_id,
                "state": in_state,
                "unreviewed": unreviewed,
            },
        )
        return answer

    def read_invoice(self, invoice: str) -> billing_views.InvoiceView:
        """One invoice with its lines: by its number, or a draft by its id."""
        answer: billing_views.InvoiceView = self._call(
            "GET", f"/v1/invoices/{segment(invoice)}", billing_views.InvoiceView
        )
        return answer

    def review_invoice(self, invoice: str) -> billing_views.InvoiceView:
        """Mark a draft as reviewed, by whose key this is. Again changes nothing."""
        answer: billing_views.InvoiceView = self._call(
            "POST", f"/v1/invoices/{segment(invoice)}/review", billing_views.InvoiceView
        )
        return answer

    def hold_invoice(self, invoice: str, data: billing_views.Hold) -> billing_views.InvoiceView:
        """Keep a draft from being issued, or let it go. Bill runs pass over what is held."""
        answer: billing_views.InvoiceView = self._call(
            "PUT", f"/v1/invoices/{segment(invoice)}/hold", billing_views.InvoiceView, content=data
        )
        return answer

    def send_invoice(self, invoice: str, data: billing_views.Sending) -> None:
        """Send an issued invoice to the customer by mail, in his language. It is sent once, unless `again` is true."""
        answer: None = self._call("POST", f"/v1/invoices/{segment(invoice)}/send", None, content=data)
        return answer

    def issue_invoice(self, invoice: str) -> billing_views.InvoiceView:
        """Give a draft its number and book it. It stands for ever; issuing it again changes nothing."""
        answer: billing_views.InvoiceView = self._call(
            "POST", f"/v1/invoices/{segment(invoice)}/issue", billing_views.InvoiceView
        )
        return answer

    def discard_invoice(self, invoice: str) -> None:
        """Take a draft back: its records are free again. Of several drafts of a customer, the last one first."""
        answer: None = self._call("DELETE", f"/v1/invoices/{segment(invoice)}", None)
        return answer

    def create_credit_note(
        self, invoice: str, data: billing_views.NewCreditNote, *, idempotency_key: str | None = None
    ) -> billing_views.InvoiceView:
        """Correct an issued invoice, in part or whole. The note is issued and booked at once."""
        answer: billing_views.InvoiceView = self._call(
            "POST",
            f"/v1/invoices/{segment(invoice)}/credit-notes",
            billing_views.InvoiceView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def void_invoice(self, invoice: str, data: billing_views.Voiding) -> billing_views.VoidView:
        """Take a whole invoice back: a draft goes, an issued one stays as void, with a credit note. Again changes nothing."""
        answer: billing_views.VoidView = self._call(
            "POST", f"/v1/invoices/{segment(invoice)}/void", billing_views.VoidView, content=data
        )
        return answer

    def dispute_invoice(self, invoice: str, data: billing_views.Dispute) -> None:
        """Let a disputed invoice not count for dunning, until that is settled."""
        answer: None = self._call("PUT", f"/v1/invoices/{segment(invoice)}/dispute", None, content=data)
        return answer

    def start_bill_run(self, data: billing_views.NewRun) -> ocs_billing_invoices_bill_runs.BillRun:
        """Draft the invoices of all customers whose period is over. It goes on beside; read it again to see how far it is."""
        answer: ocs_billing_invoices_bill_runs.BillRun = self._call(
            "POST", "/v1/bill-runs", ocs_billing_invoices_bill_runs.BillRun, content=data
        )
        return answer

    def list_bill_runs(self) -> billing_views.RunList:
        """The newest first, those of the command line, too."""
        answer: billing_views.RunList = self._call("GET", "/v1/bill-runs", billing_views.RunList)
        return answer

    def read_bill_run(self, run_id: int) -> ocs_billing_invoices_bill_runs.BillRun:
        """How far a run has come."""
        answer: ocs_billing_invoices_bill_runs.BillRun = self._call(
            "GET", f"/v1/bill-runs/{segment(run_id)}", ocs_billing_invoices_bill_runs.BillRun
        )
        return answer

    def list_payments(self, customer_id: str) -> list[billing_views.PaymentView]:
        """Payments and credit notes, and what is left of each."""
        answer: list[billing_views.PaymentView] = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}/payments", list[billing_views.PaymentView]
        )
        return answer

    def create_payment(self, customer_id: str, data: billing_views.NewPayment) -> billing_views.PaymentView:
        """Book money that came in: it pays invoices, and lifts the live balance at once. The same reference again changes nothing."""
        answer: billing_views.PaymentView = self._call(
            "POST", f"/v1/customers/{segment(customer_id)}/payments", billing_views.PaymentView, content=data
        )
        return answer

    def create_refund(self, customer_id: str, data: billing_views.NewRefund) -> billing_views.RefundView:
        """Give a payment back through the gateway, or book money that was given back out of what was paid in excess."""
        answer: billing_views.RefundView = self._call(
            "POST", f"/v1/customers/{segment(customer_id)}/refunds", billing_views.RefundView, content=data
        )
        return answer

    def reverse_payment(self, payment_id: int) -> billing_views.PaymentView:
        """Take back a payment that the bank has called back: what it paid is open again."""
        answer: billing_views.PaymentView = self._call(
            "POST", f"/v1/payments/{segment(payment_id)}/reverse", billing_views.PaymentView
        )
        return answer

    def preview_dunning(
        self, *, limit: int = 100, cursor: str = "", on: dt.date | None = None
    ) -> billing_views.StandingList:
        """What a dunning run would do, and why: ``limit`` customers are looked at for a page. Nothing is done."""
        answer: billing_views.StandingList = self._call(
            "GET", "/v1/dunning", billing_views.StandingList, query={"limit": limit, "cursor": cursor, "on": on}
        )
        return answer

    def run_dunning(self, *, limit: int = 100, cursor: str = "") -> billing_views.StandingList:
        """Take every step that is due, each once, for ``limit`` customers a page; go on with `next_cursor` until it is empty."""
        answer: billing_views.StandingList = self._call(
            "POST", "/v1/dunning/runs", billing_views.StandingList, query={"limit": limit, "cursor": cursor}
        )
        return answer

    def set_leniency(self, customer_id: str, data: billing_views.Leniency) -> None:
        """Leave a customer in peace until a day, because he has promised to pay, or for good."""
        answer: None = self._call("PUT", f"/v1/customers/{segment(customer_id)}/leniency", None, content=data)
        return answer

    def print_invoice(self, invoice: str, *, annex: bool = False) -> bytes:
        """The invoice in the customer's language."""
        answer: bytes = self._call("GET", f"/v1/invoices/{segment(invoice)}/pdf", bytes, query={"annex": annex})
        return answer

    def read_invoice_ubl(self, invoice: str) -> bytes:
        """An issued invoice or credit note as UBL 2.1 (Peppol BIS Billing 3.0)."""
        answer: bytes = self._call("GET", f"/v1/invoices/{segment(invoice)}/ubl", bytes)
        return answer

    def list_invoice_records(self, invoice: str, *, heading: Literal["names", "words"] = "names") -> bytes:
        """The records behind an invoice as CSV, as they are read from the books, whatever their number."""
        answer: bytes = self._call("GET", f"/v1/invoices/{segment(invoice)}/records", bytes, query={"heading": heading})
        return answer

    def read_collection(self, customer_id: str) -> collections.CollectionView:
        """By what the customer's invoices are collected."""
        answer: collections.CollectionView = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}/collection", collections.CollectionView
        )
        return answer

    def set_collection(self, customer_id: str, data: collections.NewCollection) -> collections.CollectionView:
        """Collect the customer's invoices from now on, those that are open, too; or leave them to him."""
        answer: collections.CollectionView = self._call(
            "PUT", f"/v1/customers/{segment(customer_id)}/collection", collections.CollectionView, content=data
        )
        return answer

    def list_collections(self, invoice: str) -> automatic_top_ups.ChargeList:
        """What was asked of the gateway for an invoice, the newest first."""
        answer: automatic_top_ups.ChargeList = self._call(
            "GET", f"/v1/invoices/{segment(invoice)}/collections", automatic_top_ups.ChargeList
        )
        return answer

    def load_bank_statement(self, content: bytes) -> ocs_bank_desk.Loaded:
        """Take a statement (camt.053, .052 or .054; the body, as it is, of up to 64 MiB): what is certain is booked, the rest waits."""
        answer: ocs_bank_desk.Loaded = self._call("POST", "/v1/bank/statements", ocs_bank_desk.Loaded, content=content)
        return answer

    def list_bank_entries(self, *, limit: int = 100) -> list[bank.EntryView]:
        """Entries that wait for somebody, the oldest first, with what they may be, the surest first."""
        answer: list[bank.EntryView] = self._call(
            "GET", "/v1/bank/entries", list[bank.EntryView], query={"limit": limit}
        )
        return answer

    def assign_bank_entry(self, entry_id: int, data: bank.Assignment) -> bank.EntryView:
        """Say what an entry is: a customer's payment, or the return of one."""
        answer: bank.EntryView = self._call(
            "POST", f"/v1/bank/entries/{segment(entry_id)}/assign", bank.EntryView, content=data
        )
        return answer

    def ignore_bank_entry(self, entry_id: int, data: bank.Ignoring) -> bank.EntryView:
        """Leave an entry out."""
        answer: bank.EntryView = self._call(
            "POST", f"/v1/bank/entries/{segment(entry_id)}/ignore", bank.EntryView, content=data
        )
        return answer

    def export_bookkeeping(self, *, first: dt.date, after: dt.date, form: Literal["csv", "jsonl"] = "csv") -> bytes:
        """What was issued and paid as double entries, by the accounts of `billing.toml`, as they are read from the books."""
        answer: bytes = self._call("GET", "/v1/bookkeeping", bytes, query={"from": first, "until": after, "form": form})
        return answer

    def list_feeds(self) -> list[ocs_feeds_queue.FeedState]:
        """The receivers of `feeds.toml`, and what each of them has not been given yet."""
        answer: list[ocs_feeds_queue.FeedState] = self._call("GET", "/v1/feeds", list[ocs_feeds_queue.FeedState])
        return answer

    def replay_feed(self, feed: str, data: feeds.ReplayOrder) -> feeds.Replayed:
        """Give records to a receiver again, under the same ids: what he has already he knows by them."""
        answer: feeds.Replayed = self._call("POST", f"/v1/feeds/{segment(feed)}/replays", feeds.Replayed, content=data)
        return answer
