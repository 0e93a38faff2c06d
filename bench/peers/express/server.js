// A token server on Express with Agora's package for Node.
import token from 'agora-token'
import express from 'express'

const { APP_ID, APP_CERTIFICATE, PORT } = process.env
const EXPIRE_SECONDS = 3600

const app = express()

app.get('/healthz', (_request, response) => response.json({ status: 'ok' }))

app.get('/rtc/:channel/:role/uid/:uid', (request, response) => {
  const { channel, role, uid } = request.params
  const granted = role === 'publisher' ? token.RtcRole.PUBLISHER : token.RtcRole.SUBSCRIBER
  const rtcToken = token.RtcTokenBuilder.buildTokenWithUid(
    APP_ID, APP_CERTIFICATE, channel, Number(uid), granted, EXPIRE_SECONDS, EXPIRE_SECONDS
  )
  response.json({ rtcToken })
})

app.listen(Number(PORT), '127.0.0.1')
