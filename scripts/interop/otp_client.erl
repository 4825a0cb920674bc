%% A client of the OTP diameter application: one data session with two rating groups, then what must be refused.
%% Each line it prints is a step: its name, the Result-Code, what was granted by group, and the faults OTP found.
-module(otp_client).
-export([main/1]).
-export([peer_up/3, peer_down/3, pick_peer/4, prepare_request/3, prepare_retransmit/3,
         handle_answer/4, handle_error/4, handle_request/3]).

-include_lib("diameter/include/diameter.hrl").

-define(SERVICE, ?MODULE).
-define(REALM, "example.net").
-define(HOST, "otp.example.net").
-define(MIB, 1048576).

main(Port) ->
    ok = diameter:start(),
    true = diameter:subscribe(?SERVICE),
    ok = diameter:start_service(?SERVICE,
        [{'Origin-Host', ?HOST}, {'Origin-Realm', ?REALM}, {'Vendor-Id', 0}, {'Product-Name', "OTP"},
         {'Auth-Application-Id', [4]}, {decode_format, map}, {string_decode, false},
         {application, [{alias, cc}, {dictionary, ocs_cc}, {module, ?MODULE}, {answer_errors, callback}]}]),
    {ok, _} = diameter:add_transport(?SERVICE,
        {connect, [{transport_module, diameter_tcp},
                   {transport_config, [{raddr, {127, 0, 0, 1}}, {rport, Port}, {ip, {127, 0, 0, 1}}]}]}),
    receive
        #diameter_event{info = Up} when element(1, Up) == up -> io:format("up~n")
    after 10000 -> io:format("no connection~n"), halt(1)
    end,
    step("initial", ccr("call", 1, 0, #{'Multiple-Services-Credit-Control' => [ask(10), ask(20)]})),
    step("update", ccr("call", 2, 1, #{'Multiple-Services-Credit-Control' => [(ask(10))#{'Used-Service-Unit' => [octets()]}]})),
    step("the same update again", ccr("call", 2, 1, #{'Multiple-Services-Credit-Control' => [(ask(10))#{'Used-Service-Unit' => [octets()]}]})),
    step("termination", ccr("call", 3, 2, #{'Multiple-Services-Credit-Control' =>
        [#{'Rating-Group' => 10, 'Used-Service-Unit' => [octets()]}, #{'Rating-Group' => 20, 'Used-Service-Unit' => [octets()]}],
        'Termination-Cause' => 1})),
    step("update of a closed session", ccr("call", 2, 9, #{'Multiple-Services-Credit-Control' => [ask(10)]})),
    step("unknown subscriber", (ccr("stranger", 1, 0, #{'Multiple-Services-Credit-Control' => [ask(10)]}))
        #{'Subscription-Id' => [#{'Subscription-Id-Type' => 0, 'Subscription-Id-Data' => "999"}]}),
    step("another realm", (ccr("realm", 1, 0, #{}))#{'Destination-Realm' => "elsewhere.net"}),
    step("another host", (ccr("host", 1, 0, #{}))#{'Destination-Host' => ["other.example.net"]}),
    step("loop", (ccr("loop", 1, 0, #{}))#{'Route-Record' => ["ocs.example.net"]}),
    %% NAS-Filter-Rule is no part of credit control.
    step("unknown AVP with M", (ccr("avp", 1, 0, #{}))#{'AVP' => [#diameter_avp{code = 400, is_mandatory = true, data = <<"deny">>}]}),
    step("unknown type", (ccr("type", 9, 0, #{}))),
    ok = diameter:stop_service(?SERVICE),
    halt(0).

ccr(Name, Type, Number, More) ->
    maps:merge(#{'Session-Id' => ?HOST ";1;" ++ Name, 'Origin-Host' => ?HOST, 'Origin-Realm' => ?REALM,
      'Destination-Realm' => ?REALM, 'Auth-Application-Id' => 4, 'Service-Context-Id' => "8.32251@3gpp.org",
      'CC-Request-Type' => Type, 'CC-Request-Number' => Number,
      'Subscription-Id' => [#{'Subscription-Id-Type' => 0, 'Subscription-Id-Data' => "4915100000003"}]}, More).

ask(Group) -> #{'Rating-Group' => Group, 'Requested-Service-Unit' => octets()}.

octets() -> #{'CC-Total-Octets' => ?MIB}.

step(Name, Request) ->
    case diameter:call(?SERVICE, cc, ['CCR' | Request], [{timeout, 5000}]) of
        {answer, Message, Errors} ->
            io:format("~s: ~p ~w ~w~n", [Name, code(Message), granted(Message), Errors]);
        Other -> io:format("~s: ~p~n", [Name, Other])
    end.

code([_ | #{'Result-Code' := Code}]) -> Code;
code(_) -> none.

granted([_ | #{'Multiple-Services-Credit-Control' := Groups}]) ->
    [{one('Rating-Group', Group), one('Result-Code', Group), one('CC-Total-Octets', one('Granted-Service-Unit', Group))}
     || Group <- Groups];
granted(_) -> [].

%% An AVP that may be left out stands in a list.
one(Name, #{} = Group) ->
    case maps:get(Name, Group, []) of [Value | _] -> Value; [] -> none; Value -> Value end;
one(_, none) -> none.

peer_up(_Service, _Peer, State) -> State.
peer_down(_Service, _Peer, State) -> State.
pick_peer([Peer | _], _Remote, _Service, _State) -> {ok, Peer};
pick_peer([], _Remote, _Service, _State) -> false.
prepare_request(Packet, _Service, _Peer) -> {send, Packet}.
prepare_retransmit(Packet, _Service, _Peer) -> {send, Packet}.
handle_answer(#diameter_packet{msg = Message, errors = Errors}, _Request, _Service, _Peer) -> {answer, Message, Errors}.
handle_error(Reason, _Request, _Service, _Peer) -> {error, Reason}.
handle_request(_Packet, _Service, _Peer) -> {protocol_error, 3001}.
