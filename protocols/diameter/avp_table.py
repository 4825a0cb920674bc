"""The AVPs we know by name: ``code:name:type``, as RFC 6733, RFC 8506 and 3GPP TS 32.299 have them.

Where the published dictionaries differ, the value here is the one of the defining specification. Names serve the
tools and the log; the codec itself works with codes and asks only whether an AVP is known at all [B-24].
"""

from __future__ import annotations

IETF = """
1:User-Name:text 4:NAS-IP-Address:octets 5:NAS-Port:u32 6:Service-Type:enum 8:Framed-IP-Address:octets
9:Framed-IP-Netmask:octets 11:Filter-Id:text 25:Class:octets 27:Session-Timeout:u32 28:Idle-Timeout:u32
30:Called-Station-Id:text 31:Calling-Station-Id:text 32:NAS-Identifier:text 33:Proxy-State:octets
41:Acct-Delay-Time:u32 44:Acct-Session-Id:octets 46:Acct-Session-Time:u32 50:Acct-Multi-Session-Id:text
55:Event-Timestamp:time 61:NAS-Port-Type:enum 85:Acct-Interim-Interval:u32 87:NAS-Port-Id:text
95:NAS-IPv6-Address:octets 96:Framed-Interface-Id:u64 97:Framed-IPv6-Prefix:octets 123:Delegated-IPv6-Prefix:octets
257:Host-IP-Address:address 258:Auth-Application-Id:u32 259:Acct-Application-Id:u32
260:Vendor-Specific-Application-Id:group 261:Redirect-Host-Usage:enum 262:Redirect-Max-Cache-Time:u32
263:Session-Id:text 264:Origin-Host:identity 265:Supported-Vendor-Id:u32 266:Vendor-Id:u32 267:Firmware-Revision:u32
268:Result-Code:u32 269:Product-Name:text 270:Session-Binding:u32 271:Session-Server-Failover:enum
272:Multi-Round-Time-Out:u32 273:Disconnect-Cause:enum 274:Auth-Request-Type:enum 276:Auth-Grace-Period:u32
277:Auth-Session-State:enum 278:Origin-State-Id:u32 279:Failed-AVP:group 280:Proxy-Host:identity
281:Error-Message:text 282:Route-Record:identity 283:Destination-Realm:identity 284:Proxy-Info:group
285:Re-Auth-Request-Type:enum 287:Accounting-Sub-Session-Id:u64 291:Authorization-Lifetime:u32 292:Redirect-Host:uri
293:Destination-Host:identity 294:Error-Reporting-Host:identity 295:Termination-Cause:enum 296:Origin-Realm:identity
297:Experimental-Result:group 298:Experimental-Result-Code:u32 299:Inband-Security-Id:u32 301:DRMP:enum
363:Accounting-Input-Octets:u64 364:Accounting-Output-Octets:u64 365:Accounting-Input-Packets:u64
366:Accounting-Output-Packets:u64 408:Origin-AAA-Protocol:enum 411:CC-Correlation-Id:octets 412:CC-Input-Octets:u64
413:CC-Money:group 414:CC-Output-Octets:u64 415:CC-Request-Number:u32 416:CC-Request-Type:enum
417:CC-Service-Specific-Units:u64 418:CC-Session-Failover:enum 419:CC-Sub-Session-Id:u64 420:CC-Time:u32
421:CC-Total-Octets:u64 422:Check-Balance-Result:enum 423:Cost-Information:group 424:Cost-Unit:text
425:Currency-Code:u32 426:Credit-Control:enum 427:Credit-Control-Failure-Handling:enum
428:Direct-Debiting-Failure-Handling:enum 429:Exponent:i32 430:Final-Unit-Indication:group
431:Granted-Service-Unit:group 432:Rating-Group:u32 433:Redirect-Address-Type:enum 434:Redirect-Server:group
435:Redirect-Server-Address:text 436:Requested-Action:enum 437:Requested-Service-Unit:group
438:Restriction-Filter-Rule:filter 439:Service-Identifier:u32 440:Service-Parameter-Info:group
441:Service-Parameter-Type:u32 442:Service-Parameter-Value:octets 443:Subscription-Id:group
444:Subscription-Id-Data:text 445:Unit-Value:group 446:Used-Service-Unit:group 447:Value-Digits:i64
448:Validity-Time:u32 449:Final-Unit-Action:enum 450:Subscription-Id-Type:enum 451:Tariff-Time-Change:time
452:Tariff-Change-Usage:enum 453:G-S-U-Pool-Identifier:u32 454:CC-Unit-Type:enum
455:Multiple-Services-Indicator:enum 456:Multiple-Services-Credit-Control:group 457:G-S-U-Pool-Reference:group
458:User-Equipment-Info:group 459:User-Equipment-Info-Type:enum 460:User-Equipment-Info-Value:octets
461:Service-Context-Id:text 480:Accounting-Record-Type:enum 483:Accounting-Realtime-Required:enum
485:Accounting-Record-Number:u32 509:Filter-Rule:group 510:Filter-Rule-Precedence:u32 511:Classifier:group
560:Time-Of-Day-Condition:group 572:Treatment-Action:enum 574:QoS-Profile-Template:group 575:QoS-Semantics:enum
576:QoS-Parameters:group 577:Excess-Treatment:group 621:OC-Supported-Features:group 622:OC-Feature-Vector:u64
623:OC-OLR:group 624:OC-Sequence-Number:u64 625:OC-Validity-Duration:u32 626:OC-Report-Type:enum
627:OC-Reduction-Percentage:u32 653:User-Equipment-Info-Extension:group 654:User-Equipment-Info-IMEISV:octets
655:User-Equipment-Info-MAC:octets 656:User-Equipment-Info-EUI64:octets 657:User-Equipment-Info-ModifiedEUI64:octets
658:User-Equipment-Info-IMEI:octets 659:Subscription-Id-Extension:group 660:Subscription-Id-E164:text
661:Subscription-Id-IMSI:text 662:Subscription-Id-SIP-URI:text 663:Subscription-Id-NAI:text
664:Subscription-Id-Private:text 665:Redirect-Server-Extension:group 666:Redirect-Address-IPAddress:address
667:Redirect-Address-URL:text 668:Redirect-Address-SIP-URI:text 669:QoS-Final-Unit-Indication:group
"""

TGPP = """
1:3GPP-IMSI:text 2:3GPP-Charging-Id:u32 3:3GPP-PDP-Type:enum 4:3GPP-CG-Address:octets
5:3GPP-GPRS-Negotiated-QoS-Profile:text 6:3GPP-SGSN-Address:octets 7:3GPP-GGSN-Address:octets
8:3GPP-IMSI-MCC-MNC:text 9:3GPP-GGSN-MCC-MNC:text 10:3GPP-NSAPI:octets 11:3GPP-Session-Stop-Indicator:octets
12:3GPP-Selection-Mode:text 13:3GPP-Charging-Characteristics:text 14:3GPP-CG-Ipv6-Address:octets
15:3GPP-SGSN-Ipv6-Address:octets 16:3GPP-GGSN-Ipv6-Address:octets 17:3GPP-Ipv6-DNS-Servers:octets
18:3GPP-SGSN-MCC-MNC:text 20:3GPP-IMEISV:octets 21:3GPP-RAT-Type:octets 22:3GPP-User-Location-Info:octets
23:3GPP-MS-TimeZone:octets 24:3GPP-CAMEL-Charging-Info:octets 25:3GPP-Packet-Filter:octets
26:3GPP-Negotiated-DSCP:octets 27:3GPP-Allocate-IP-Type:octets 29:TWAN-Identifier:octets
30:3GPP-User-Location-Info-Time:octets 31:3GPP-Secondary-RAT-Usage:octets
503:Access-Network-Charging-Identifier-Value:octets 505:AF-Charging-Identifier:octets 509:Flow-Number:u32
510:Flows:group 515:Max-Requested-Bandwidth-DL:u32 516:Max-Requested-Bandwidth-UL:u32 518:Media-Component-Number:u32
531:Sponsor-Identity:text 532:Application-Service-Provider-Identity:text 549:Media-Component-Status:u32
552:Content-Version:u64 554:Extended-Max-Requested-BW-DL:u32 555:Extended-Max-Requested-BW-UL:u32
565:Callee-Information:group 602:Server-Name:text 603:Server-Capabilities:group 604:Mandatory-Capability:u32
605:Optional-Capability:u32 628:Supported-Features:group 629:Feature-List-ID:u32 630:Feature-List:u32
650:Session-Priority:enum 701:MSISDN:octets 823:Event-Type:group 824:SIP-Method:text 825:Event:text
826:Content-Type:text 827:Content-Length:u32 828:Content-Disposition:text 829:Role-Of-Node:enum
830:User-Session-Id:text 831:Calling-Party-Address:text 832:Called-Party-Address:text 833:Time-Stamps:group
834:SIP-Request-Timestamp:time 835:SIP-Response-Timestamp:time 836:Application-Server:text
837:Application-Provided-Called-Party-Address:text 838:Inter-Operator-Identifier:group 839:Originating-IOI:text
840:Terminating-IOI:text 841:IMS-Charging-Identifier:text 842:SDP-Session-Description:text
843:SDP-Media-Component:group 844:SDP-Media-Name:text 845:SDP-Media-Description:text 846:CG-Address:address
847:GGSN-Address:address 848:Served-Party-IP-Address:address 849:Authorised-QoS:text
850:Application-Server-Information:group 851:Trunk-Group-Id:group 852:Incoming-Trunk-Group-Id:text
853:Outgoing-Trunk-Group-Id:text 854:Bearer-Service:octets 855:Service-Id:text 856:Associated-URI:text
857:Charged-Party:text 858:PoC-Controlling-Address:text 859:PoC-Group-Name:text 861:Cause-Code:i32
862:Node-Functionality:enum 863:Service-Specific-Data:text 864:Originator:enum
865:PS-Furnish-Charging-Information:group 866:PS-Free-Format-Data:octets 867:PS-Append-Free-Format-Data:enum
868:Time-Quota-Threshold:u32 869:Volume-Quota-Threshold:u32 870:Trigger-Type:enum 871:Quota-Holding-Time:u32
872:Reporting-Reason:enum 873:Service-Information:group 874:PS-Information:group 876:IMS-Information:group
877:MMS-Information:group 878:LCS-Information:group 879:PoC-Information:group 880:MBMS-Information:group
881:Quota-Consumption-Time:u32 882:Media-Initiator-Flag:enum 883:PoC-Server-Role:enum 884:PoC-Session-Type:enum
885:Number-Of-Participants:u32 886:Originator-Address:group 887:Participants-Involved:text 888:Expires:u32
889:Message-Body:group 897:Address-Data:text 898:Address-Domain:group 899:Address-Type:enum 900:TMGI:octets
901:Required-MBMS-Bearer-Capabilities:text 903:MBMS-Service-Area:octets 906:MBMS-Service-Type:enum
907:MBMS-2G-3G-Indicator:enum 908:MBMS-Session-Identity:octets 909:RAI:text 921:CN-IP-Multicast-Distribution:enum
929:MBMS-Data-Transfer-Start:u64 930:MBMS-Data-Transfer-Stop:u64 1004:Charging-Rule-Base-Name:text
1016:QoS-Information:group 1020:Bearer-Identifier:octets 1025:Guaranteed-Bitrate-DL:u32
1026:Guaranteed-Bitrate-UL:u32 1027:IP-CAN-Type:enum 1028:QoS-Class-Identifier:enum 1032:RAT-Type:enum
1034:Allocation-Retention-Priority:group 1040:APN-Aggregate-Max-Bitrate-DL:u32 1041:APN-Aggregate-Max-Bitrate-UL:u32
1046:Priority-Level:u32 1047:Pre-emption-Capability:enum 1048:Pre-emption-Vulnerability:enum
1091:TDF-IP-Address:address 1095:ADC-Rule-Base-Name:text 1101:VASP-ID:text 1102:VAS-ID:text 1200:Domain-Name:text
1201:Recipient-Address:group 1202:Submission-Time:time 1203:MM-Content-Type:group 1204:Type-Number:enum
1205:Additional-Type-Information:text 1206:Content-Size:u32 1207:Additional-Content-Information:group
1208:Addressee-Type:enum 1209:Priority:enum 1210:Message-ID:text 1211:Message-Type:enum 1212:Message-Size:u32
1213:Message-Class:group 1214:Class-Identifier:enum 1215:Token-Text:text 1216:Delivery-Report-Requested:enum
1217:Adaptations:enum 1218:Applic-ID:text 1219:Aux-Applic-Info:text 1220:Content-Class:enum 1221:DRM-Content:enum
1222:Read-Reply-Report-Requested:enum 1223:Reply-Applic-ID:text 1224:File-Repair-Supported:enum
1225:MBMS-User-Service-Type:enum 1226:Unit-Quota-Threshold:u32 1227:PDP-Address:address 1228:SGSN-Address:address
1229:PoC-Session-Id:text 1230:Deferred-Location-Event-Type:text 1231:LCS-APN:text 1232:LCS-Client-Id:group
1233:LCS-Client-Dialed-By-MS:text 1234:LCS-Client-External-ID:text 1235:LCS-Client-Name:group
1236:LCS-Data-Coding-Scheme:text 1237:LCS-Format-Indicator:enum 1238:LCS-Name-String:text
1239:LCS-Requestor-ID:group 1240:LCS-Requestor-ID-String:text 1241:LCS-Client-Type:enum
1242:Location-Estimate:octets 1243:Location-Estimate-Type:enum 1244:Location-Type:group 1245:Positioning-Data:text
1247:PDP-Context-Type:enum 1248:MMBox-Storage-Requested:enum 1249:Service-Specific-Info:group
1250:Called-Asserted-Identity:text 1251:Requested-Party-Address:text 1252:PoC-User-Role:group
1253:PoC-User-Role-IDs:text 1254:PoC-User-Role-Info-Units:enum 1255:Talk-Burst-Exchange:group
1256:Service-Generic-Information:group 1257:Service-Specific-Type:u32 1258:Event-Charging-TimeStamp:time
1259:Participant-Access-Priority:enum 1260:Participant-Group:group 1261:PoC-Change-Condition:enum
1262:PoC-Change-Time:time 1263:Access-Network-Information:octets 1264:Trigger:group 1265:Base-Time-Interval:u32
1266:Envelope:group 1267:Envelope-End-Time:time 1268:Envelope-Reporting:enum 1269:Envelope-Start-Time:time
1270:Time-Quota-Mechanism:group 1271:Time-Quota-Type:enum 1272:Early-Media-Description:group
1273:SDP-TimeStamps:group 1274:SDP-Offer-Timestamp:time 1275:SDP-Answer-Timestamp:time
1276:AF-Correlation-Information:group 1277:PoC-Session-Initiation-type:enum 1278:Offline-Charging:group
1279:User-Participating-Type:enum 1280:Alternate-Charged-Party-Address:text
1281:IMS-Communication-Service-Identifier:text 1282:Number-Of-Received-Talk-Bursts:u32
1283:Number-Of-Talk-Bursts:u32 1284:Received-Talk-Burst-Time:u32 1285:Received-Talk-Burst-Volume:u32
1286:Talk-Burst-Time:u32 1287:Talk-Burst-Volume:u32 1288:Media-Initiator-Party:text 1300:PC5-Radio-Technology:enum
1301:RAN-End-Timestamp:time 1302:RAN-Secondary-RAT-Usage-Report:group 1303:RAN-Start-Timestamp:time
1304:Secondary-RAT-Type:octets 1305:Civic-Address-Information:text 1306:WLAN-Operator-Id:group
1307:WLAN-Operator-Name:text 1308:WLAN-PLMN-Id:text 1309:API-Content:text 1310:API-Direction:enum
1311:API-Identifier:octets 1312:API-Invocation-Timestamp:time 1313:API-Result-Code:u32 1314:API-Size:u64
1315:API-Network-Service-Node:enum 1316:Exposure-Function-API-Information:group 1317:SCEF-Address:address
1318:TLTRI:u32 1320:3GPP-OC-Specific-Reduction:group 1321:3GPP-OC-Rating-Group:u32 1322:3GPP-OC-Request-Type:enum
1323:VoLTE-Information:group 1324:PSCell-Info:group 1325:Nr-Cgi:text 1401:Terminal-Information:group 1402:IMEI:text
1403:Software-Version:text 1407:Visited-PLMN-Id:octets 1437:CSG-Id:u32 1444:User-Id:text
1496:EPS-Location-Information:group 1524:SSID:text 1645:MME-Number-for-MT-SMS:octets 2000:SMS-Information:group
2001:Data-Coding-Scheme:i32 2002:Destination-Interface:group 2003:Interface-Id:text 2004:Interface-Port:text
2005:Interface-Text:text 2006:Interface-Type:enum 2007:SM-Message-Type:enum 2008:Originator-SCCP-Address:address
2009:Originator-Interface:group 2010:Recipient-SCCP-Address:address 2011:Reply-Path-Requested:enum
2012:SM-Discharge-Time:time 2013:SM-Protocol-ID:octets 2014:SM-Status:octets 2015:SM-User-Data-Header:octets
2016:SMS-Node:enum 2017:SMSC-Address:address 2018:Client-Address:address 2019:Number-Of-Messages-Sent:u32
2020:Low-Balance-Indication:enum 2021:Remaining-Balance:group 2022:Refund-Information:octets
2023:Carrier-Select-Routing-Information:text 2024:Number-Portability-Routing-Information:text
2025:PoC-Event-Type:enum 2026:Recipient-Info:group 2027:Originator-Received-Address:group
2028:Recipient-Received-Address:group 2029:SM-Service-Type:enum 2030:MMTel-Information:group
2031:MMTel-SService-Type:u32 2032:Service-Mode:u32 2033:Subscriber-Role:enum 2034:Number-Of-Diversions:u32
2035:Associated-Party-Address:text 2036:SDP-Type:enum 2037:Change-Condition:i32 2038:Change-Time:time
2039:Diagnostics:i32 2040:Service-Data-Container:group 2041:Start-Time:time 2042:Stop-Time:time
2043:Time-First-Usage:time 2044:Time-Last-Usage:time 2045:Time-Usage:u32 2046:Traffic-Data-Volumes:group
2047:Serving-Node-Type:enum 2048:Supplementary-Service:group 2049:Participant-Action-Type:enum
2050:PDN-Connection-Charging-ID:u32 2051:Dynamic-Address-Flag:enum 2052:Accumulated-Cost:group
2053:AoC-Cost-Information:group 2054:AoC-Information:group 2055:AoC-Request-Type:enum 2056:Current-Tariff:group
2057:Next-Tariff:group 2058:Rate-Element:group 2059:Scale-Factor:group 2060:Tariff-Information:group
2061:Unit-Cost:group 2062:Incremental-Cost:group 2063:Local-Sequence-Number:u32 2064:Node-Id:text
2065:SGW-Change:enum 2066:Charging-Characteristics-Selection-Mode:enum 2067:SGW-Address:address
2068:Dynamic-Address-Flag-Extension:enum 2101:Application-Server-Id:text 2102:Application-Service-Type:enum
2103:Application-Session-Id:u32 2104:Delivery-Status:text 2110:IM-Information:group
2111:Number-Of-Messages-Successfully-Exploded:u32 2112:Number-Of-Messages-Successfully-Sent:u32
2113:Total-Number-Of-Messages-Exploded:u32 2114:Total-Number-Of-Messages-Sent:u32 2115:DCD-Information:group
2116:Content-ID:text 2117:Content-provider-ID:text 2118:Charge-Reason-Code:enum
2301:SIP-Request-Timestamp-Fraction:u32 2302:SIP-Response-Timestamp-Fraction:u32 2303:Online-Charging-Flag:enum
2304:CUG-Information:octets 2305:Real-Time-Tariff-Information:group 2306:Tariff-XML:text
2307:MBMS-GW-Address:address 2308:IMSI-Unauthenticated-Flag:enum 2309:Account-Expiration:time 2310:AoC-Format:enum
2311:AoC-Service:group 2312:AoC-Service-Obligatory-Type:enum 2313:AoC-Service-Type:enum
2314:AoC-Subscription-Information:group 2315:Preferred-AoC-Currency:u32 2317:CSG-Access-Mode:enum
2318:CSG-Membership-Indication:enum 2319:User-CSG-Information:group 2320:Outgoing-Session-Id:text
2321:Initial-IMS-Charging-Identifier:text 2322:IMS-Emergency-Indicator:enum 2323:MBMS-Charged-Party:enum
2401:Serving-Node:group 2402:MME-Name:identity 2408:MME-Realm:identity
2601:IMS-Application-Reference-Identifier:text 2602:Low-Priority-Indicator:enum
2603:IP-Realm-Default-Indication:enum 2604:Local-GW-Inserted-Indication:enum
2605:Transcoder-Inserted-Indication:enum 2606:PDP-Address-Prefix-Length:u32 2701:Transit-IOI-List:text
2702:Status-AS-Code:enum 2703:NNI-Information:group 2704:NNI-Type:enum 2705:Neighbour-Node-Address:address
2706:Relationship-Mode:enum 2707:Session-Direction:enum 2708:From-Address:text
2709:Access-Transfer-Information:group 2710:Access-Transfer-Type:enum 2711:Related-IMS-Charging-Identifier:text
2712:Related-IMS-Charging-Identifier-Node:address 2713:IMS-Visited-Network-Identifier:text
2714:TWAN-User-Location-Info:group 2716:BSSID:text 2717:TAD-Identifier:enum 2805:UE-Local-IP-Address:address
2806:UDP-Source-Port:u32 2812:User-Location-Info-Time:time 2818:Conditional-APN-Aggregate-Max-Bitrate:group
2819:RAN-NAS-Release-Cause:octets 2822:Presence-Reporting-Area-Information:group
2823:Presence-Reporting-Area-Status:u32 2825:Fixed-User-Location-Info:group 2830:NBIFOM-Mode:enum
2831:NBIFOM-Support:enum 2833:Access-Availability-Change-Reason:u32
2836:Traffic-Steering-Policy-Identifier-DL:octets 2837:Traffic-Steering-Policy-Identifier-UL:octets
2843:TCP-Source-Port:u32 2848:Extended-APN-AMBR-DL:u32 2849:Extended-APN-AMBR-UL:u32 2850:Extended-GBR-DL:u32
2851:Extended-GBR-UL:u32 3006:Priority-Indication:enum 3007:Reference-Number:u32
3010:Application-Port-Identifier:u32 3111:External-Identifier:text 3123:Monitoring-Event-Report:group
3124:SCEF-Reference-ID:u32 3125:SCEF-ID:identity 3127:Monitoring-Type:u32 3128:Maximum-Number-of-Reports:u32
3129:UE-Reachability-Configuration:group 3130:Monitoring-Duration:time 3131:Maximum-Detection-Time:u32
3136:MONTE-Location-Type:u32 3137:Accuracy:u32 3140:Reachability-Information:u32 3401:Reason-Header:text
3402:Instance-Id:text 3403:Route-Header-Received:text 3404:Route-Header-Transmitted:text
3405:SM-Device-Trigger-Information:group 3406:MTC-IWF-Address:address 3407:SM-Device-Trigger-Indicator:enum
3408:SM-Sequence-Number:u32 3409:SMS-Result:u32 3410:VCS-Information:group 3411:Basic-Service-Code:group
3412:Bearer-Capability:octets 3413:Teleservice:octets 3414:ISUP-Location-Number:octets 3415:Forwarding-Pending:enum
3416:ISUP-Cause:group 3417:MSC-Address:octets 3418:Network-Call-Reference-Number:octets 3419:Start-of-Charging:time
3420:VLR-Number:octets 3421:CN-Operator-Selection-Entity:enum 3422:ISUP-Cause-Diagnostics:octets
3423:ISUP-Cause-Location:u32 3424:ISUP-Cause-Value:u32 3425:EPDG-Address:address
3426:Announcing-UE-HPLMN-Identifier:text 3427:Announcing-UE-VPLMN-Identifier:text 3428:Coverage-Status:enum
3429:Layer-2-Group-ID:octets 3430:Monitored-PLMN-Identifier:text 3431:Monitoring-UE-HPLMN-Identifier:text
3432:Monitoring-UE-Identifier:text 3433:Monitoring-UE-VPLMN-Identifier:text 3434:PC3-Control-Protocol-Cause:i32
3435:PC3-EPC-Control-Protocol-Cause:i32 3436:Requested-PLMN-Identifier:text 3437:Requestor-PLMN-Identifier:text
3438:Role-Of-ProSe-Function:enum 3439:Usage-Information-Report-Sequence-Number:i32
3440:ProSe-3rd-Party-Application-ID:text 3441:ProSe-Direct-Communication-Transmission-Data-Container:group
3442:ProSe-Direct-Discovery-Model:enum 3443:ProSe-Event-Type:enum 3444:ProSe-Function-IP-Address:address
3445:ProSe-Functionality:enum 3446:ProSe-Group-IP-Multicast-Address:address 3447:ProSe-Information:group
3448:ProSe-Range-Class:enum 3449:ProSe-Reason-For-Cancellation:enum 3450:ProSe-Request-Timestamp:time
3451:ProSe-Role-Of-UE:enum 3452:ProSe-Source-IP-Address:address 3453:ProSe-UE-ID:octets
3454:Proximity-Alert-Indication:enum 3455:Proximity-Alert-Timestamp:time 3456:Proximity-Cancellation-Timestamp:time
3457:ProSe-Function-PLMN-Identifier:text 3458:Application-Specific-Data:octets 3459:Coverage-Info:group
3460:Location-Info:group 3461:ProSe-Direct-Communication-Reception-Data-Container:group 3462:Radio-Frequency:octets
3463:Radio-Parameter-Set-Info:group 3464:Radio-Parameter-Set-Values:octets 3465:Radio-Resources-Indicator:i32
3466:Time-First-Reception:time 3467:Time-First-Transmission:time 3468:Transmitter-Info:group
3600:Origin-App-Layer-User-Id:text 3601:Target-App-Layer-User-Id:text 3602:ProSe-Function-ID:octets
3811:ProSe-App-Id:text 3815:ProSe-Validity-Timer:u32 3816:Requesting-EPUID:text 3818:Time-Window:u32
3821:WLAN-Link-Layer-Id:octets 3901:Enhanced-Diagnostics:group 3902:Inter-UE-Transfer:enum 3903:TWAG-Address:address
3904:Announcement-Information:group 3905:Announcement-Identifier:u32 3906:Announcement-Order:u32
3907:Variable-Part:group 3908:Variable-Part-Order:u32 3909:Variable-Part-Type:u32 3910:Variable-Part-Value:text
3911:Time-Indicator:u32 3912:Quota-Indicator:enum 3913:Play-Alternative:enum 3914:Language:text
3915:Privacy-Indicator:enum 3916:Called-Identity:text 3917:Called-Identity-Change:group
3918:UWAN-User-Location-Info:group 3919:Monitoring-Event-Configuration-Activity:i32
3920:Monitoring-Event-Report-Data:group 3921:Monitoring-Event-Information:group
3922:Monitoring-Event-Functionality:i32 3923:Monitoring-Event-Report-Number:u32
3924:Cellular-Network-Information:octets 3925:Related-Change-Condition-Information:group 3926:Related-Trigger:group
3927:CPDT-Information:group 3928:NIDD-Submission:group 3929:Serving-Node-Identity:identity
3930:CP-CIoT-EPS-Optimisation-Indicator:enum 3931:SGi-PtP-Tunnelling-Method:enum 3932:UNI-PDU-CP-Only-Flag:enum
3933:APN-Rate-Control:group 3934:APN-Rate-Control-Downlink:group 3935:APN-Rate-Control-Uplink:group
3936:Additional-Exception-Reports:enum 3937:Rate-Control-Max-Message-Size:u32 3938:Rate-Control-Max-Rate:u32
3939:Rate-Control-Time-Unit:u32 3940:SCS-AS-Address:group 3941:SCS-Address:address 3942:SCS-Realm:identity
4300:Communication-Failure-Information:group 4306:Number-Of-UE-Per-Location-Configuration:group
4307:Number-Of-UE-Per-Location-Report:group 4310:Serving-PLMN-Rate-Control:group 4318:RRC-Cause-Counter:group
4400:Charging-Per-IP-CAN-Session-Indicator:enum 4401:Access-Network-Info-Change:group
4402:Discoveree-UE-HPLMN-Identifier:text 4403:Discoveree-UE-VPLMN-Identifier:text
4404:Discoverer-UE-HPLMN-Identifier:text 4405:Discoverer-UE-VPLMN-Identifier:text 4406:3GPP-PS-Data-Off-Status:enum
4407:Unused-Quota-Timer:u32 4408:Announcing-PLMN-ID:text 4409:ProSe-UE-to-Network-Relay-UE-ID:octets
4410:ProSe-Target-Layer-2-ID:octets 4411:Relay-IP-address:address 4412:Target-IP-Address:address
4413:FE-Identifier-List:text
"""
